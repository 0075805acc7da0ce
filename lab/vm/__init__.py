"""A whole virtual machine with Debian's real kernels, DKMS, initramfs, GRUB and Secure Boot: what no container can show."""
