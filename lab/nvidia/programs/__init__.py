"""Stand-in programs of more than one file; build.py makes one executable file of each."""
