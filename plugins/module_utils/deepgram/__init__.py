"""Deepgram's containers, models, logs and answers."""
