"""What would change and why, and the look that finds out."""
