"""What every room may use: errors and their words, names, SSH, processes, the lock."""
