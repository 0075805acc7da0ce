"""What is measured: a file a part, with its measurement and its verdicts."""
