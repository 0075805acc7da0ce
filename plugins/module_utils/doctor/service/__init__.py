"""The doctor on the service: from the Engine up to the port that callers come to."""
