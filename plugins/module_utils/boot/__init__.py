"""The kernel that runs, the one that boots next, its initramfs, Secure Boot."""
