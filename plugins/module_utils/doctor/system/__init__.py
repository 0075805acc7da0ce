"""The doctor on the system below the service: what roles wrote, units, the kernel's tables, the network."""
