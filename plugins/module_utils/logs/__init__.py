"""What a server's programs say, in one stream by time: for `dgctl logs`. Runs there as source, so the standard library only."""
