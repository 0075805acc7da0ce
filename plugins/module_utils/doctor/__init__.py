"""What is wrong with a host, why, and how to fix it. Runs there as source, so the standard library only."""
