# What DKMS does: modules for the running kernel, if its headers are there. Nothing is compiled.
kernel=$(uname -r)
[ -e "/lib/modules/$kernel/build/" ] || { echo "Module build for kernel $kernel was skipped since the kernel headers for this kernel do not seem to be installed."; exit 0; }
mkdir -p "/lib/modules/$kernel/extra"
cp /usr/src/nvidia-@V@/*.ko "/lib/modules/$kernel/extra/"
depmod "$kernel"
