"""What people and --json see."""
