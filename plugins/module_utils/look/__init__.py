"""What `plan` asks a host: does what its roles recorded still hold? Runs there as source, so the standard library only."""
