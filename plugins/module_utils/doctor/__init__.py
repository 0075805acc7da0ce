"""What ails a host, why, and what cures it. Runs there as source, so the standard library only."""
