"""`python -m dgctl`."""

from dgctl.cli import main

main()
