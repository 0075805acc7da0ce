"""A Linux host: files, programs, units, network, what it is, and what roles recorded there."""
