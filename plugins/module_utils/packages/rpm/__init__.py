"""What rpm knows."""
