"""Stand-ins of NVIDIA's driver and container-toolkit packages, and the signed APT repositories that hold them."""
