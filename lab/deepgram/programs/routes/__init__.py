"""What an API answers at each of its paths, and in which form."""
