"""What is refused before a server is touched."""
