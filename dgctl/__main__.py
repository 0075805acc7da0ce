"""`python -m dgctl` is `dgctl`."""

from dgctl.cli import main

if __name__ == "__main__":
    main(prog_name="dgctl")
