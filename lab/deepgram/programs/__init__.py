"""The stand-in programs themselves: this package alone goes into the images (Python 3.11+, aiohttp)."""
