"""dgctl: bare-metal GPU servers into a working, lasting Deepgram self-hosted deployment."""
