"""Driver, GPUs, fabric, CDI, and who uses them."""
