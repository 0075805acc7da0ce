# Modules for every kernel whose headers are there, as a package with DKMS builds them.
dkms add -m nvidia -v @V@
for directory in /lib/modules/*; do
    kernel=${directory##*/}
    if [ -e "$directory/build/" ]; then
        dkms install -m nvidia -v @V@ -k "$kernel"
    elif [ "$kernel" = "$(uname -r)" ]; then
        echo "Module build for kernel $kernel was skipped since the kernel headers for this kernel do not seem to be installed."
    fi
done
