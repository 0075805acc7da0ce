# The same server after a kernel update that brought no headers.
dpkg-divert --quiet --local --rename --divert /root/grub-mkconfig --add /usr/sbin/grub-mkconfig
ln -s /bin/true /usr/sbin/grub-mkconfig
apt-get install -q -y --no-install-recommends "linux-image-$(tail -n 1 /srv/kernels)"
rm /usr/sbin/grub-mkconfig
dpkg-divert --quiet --local --rename --remove /usr/sbin/grub-mkconfig
offline-menu
sed -i 's/^set default="0"/set default="1"/' /boot/grub/grub.cfg # the older one still boots
