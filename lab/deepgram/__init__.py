"""Stand-ins for Deepgram's self-hosted programs, model files, images and licence server. Simulated, for the lab only."""
