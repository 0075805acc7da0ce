useradd --create-home --shell /bin/bash --user-group ops
chown -R ops:ops /home/ops
chmod 0700 /home/ops/.ssh
update-ca-certificates
# Each server gets its own; the lab puts them there.
rm -f /etc/ssh/ssh_host_*
systemctl enable simulated-coldplug.service
systemctl set-default multi-user.target
systemctl mask getty@.service console-getty.service systemd-networkd.service systemd-networkd-wait-online.service
: > /etc/machine-id

# install_package NAME VERSION TREE FIELDS ABOUT: makes a package of a directory, and installs it.
install_package() {
    mkdir -p "$3/DEBIAN"
    chmod 0755 "$3" "$3/DEBIAN"
    cat > "$3/DEBIAN/control" <<CONTROL
Package: $1
Version: $2
Architecture: amd64
Maintainer: dgctl lab <lab@lab.test>
Section: kernel
Priority: optional
${4:+$4
}Description: $5 (simulated)
 Stand-in of the dgctl lab.
CONTROL
    dpkg-deb --root-owner-group -Znone -b "$3" /tmp/package.deb
    dpkg -i /tmp/package.deb
    rm -rf "$3" /tmp/package.deb
}

# The running kernel's package and its headers, as a maintained server has them, and DKMS.
kernel=$(echo "$KERNEL" | tr 'A-Z_' 'a-z-')
version=$(echo "$KERNEL" | tr '_' '.' | sed 's/-/+/g')-1
image=/tmp/linux-image
mkdir -p $image/boot $image/usr/lib/modules
echo "Simulated kernel $KERNEL" > "$image/boot/vmlinuz-$KERNEL"
mv "/usr/lib/modules/$KERNEL" $image/usr/lib/modules/
# Written by a kernel package, and missed by depmod and lspci.
for list in order builtin builtin.modinfo; do : > "$image/usr/lib/modules/$KERNEL/modules.$list"; done
install_package "linux-image-$kernel" "$version" $image "" "the running kernel"
headers=/tmp/linux-headers
mkdir -p "$headers/usr/src/linux-headers-$KERNEL" "$headers/usr/lib/modules/$KERNEL"
echo "Simulated: there is nothing to compile with." > "$headers/usr/src/linux-headers-$KERNEL/README"
ln -s "/usr/src/linux-headers-$KERNEL" "$headers/usr/lib/modules/$KERNEL/build"
install_package "linux-headers-$kernel" "$version" $headers "Provides: linux-headers-amd64" "header files of the running kernel"
install_package dkms 3.2.2-9simulated /usr/share/simulated-packages/dkms "Depends: python3, openssl, kmod" "Dynamic Kernel Module System"
rmdir /usr/share/simulated-packages
depmod "$KERNEL"
rm -f /var/cache/apt/archives/*.deb
