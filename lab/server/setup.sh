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

# The running kernel's headers, as a maintained server has them: a stand-in package and the usual links.
headers=/tmp/linux-headers
mkdir -p $headers/DEBIAN $headers/usr/src/linux-headers-$KERNEL $headers/lib/modules/$KERNEL
chmod 0755 $headers $headers/DEBIAN
echo "Simulated: there is nothing to compile with." > $headers/usr/src/linux-headers-$KERNEL/README
# Written by a kernel package, and missed by depmod and lspci.
for list in order builtin builtin.modinfo; do : > $headers/lib/modules/$KERNEL/modules.$list; done
ln -s /usr/src/linux-headers-$KERNEL $headers/lib/modules/$KERNEL/build
cat > $headers/DEBIAN/control <<CONTROL
Package: linux-headers-$(echo $KERNEL | tr 'A-Z_' 'a-z-')
Version: $(echo $KERNEL | tr '_' '.' | sed 's/-/+/g')-1
Architecture: amd64
Maintainer: dgctl lab <lab@lab.test>
Section: kernel
Priority: optional
Provides: linux-headers-amd64
Description: header files of the running kernel (simulated)
 Stand-in of the dgctl lab; holds no header.
CONTROL
dpkg-deb --root-owner-group -Znone -b $headers /tmp/linux-headers.deb
dpkg -i /tmp/linux-headers.deb
rm -rf $headers /tmp/linux-headers.deb
depmod $KERNEL
rm -f /var/cache/apt/archives/*.deb
