"""NGINX: its configuration, and whom it serves."""
