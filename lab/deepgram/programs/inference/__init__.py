"""What an Engine makes of audio and of text, and what it counts of that."""
