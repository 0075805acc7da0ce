"""The watchdog of a node: what it sees, what follows from it, how it takes itself out, heals and comes back."""
