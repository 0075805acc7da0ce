"""The checks, one subject a file."""
