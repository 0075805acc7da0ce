"""Simulated stand-ins for Deepgram's self-hosted programs, model files, images and licence server."""
