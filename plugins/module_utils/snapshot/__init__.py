"""The state that was verified, kept for `rollback`."""
