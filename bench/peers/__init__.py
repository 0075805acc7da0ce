"""What dgctl is measured beside: plain SSH, pyinfra, and a script by hand, with the same questions."""
