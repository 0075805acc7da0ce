"""dgctl: bare-metal GPU servers into a working, lasting Deepgram self-hosted deployment."""

__version__ = "0.1.0"
