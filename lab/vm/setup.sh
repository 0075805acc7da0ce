# Runs at the end of mmdebstrap, inside the new system: an older kernel installed, a newer one and everybody's headers in a
# repository on the disk. The virtual machine needs no network.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
install="apt-get install -q -y --no-install-recommends"
versions=$(apt-cache madison linux-image-amd64 | awk '{print $3}' | sort -uV)
older=$(echo "$versions" | tail -n 2 | head -n 1)
newer=$(echo "$versions" | tail -n 1)
[ "$older" != "$newer" ] || { echo "the mirror has one kernel only, $newer" >&2; exit 1; }
kernel_of() { apt-cache show "linux-image-amd64=$1" | sed -n 's/^Depends: linux-image-\([^ ,]*\).*/\1/p'; }
K1=$(kernel_of "$older") K2=$(kernel_of "$newer")

# The compiler that modules are built with takes minutes to unpack in emulation.
$install "linux-image-amd64=$older" $(apt-cache depends "linux-headers-$K1" | sed -n 's/.*Depends: \(gcc-.*\)/\1/p') make patch dpkg-dev perl xz-utils bzip2 pahole
$install grub2-common grub-efi-amd64-signed shim-signed

# What the machine can install later.
apt-get clean
$install --download-only linux-image-amd64="$newer" linux-headers-amd64="$newer" "linux-headers-$K1" dkms
mkdir -p /srv/apt/debian
mv /var/cache/apt/archives/*.deb /srv/apt/debian/
printf '%s\n' "$K1" "$K2" >/srv/kernels

# Signed repositories.
export GNUPGHOME=/root/gnupg
mkdir -m 700 $GNUPGHOME
gpg --batch --quiet --passphrase '' --quick-generate-key 'dgctl lab (virtual machine)' ed25519 sign never
gpg --batch --armor --output /srv/apt/key.asc --export
gpg --with-colons --list-keys | sed -n 's/^fpr:*\([0-9A-F]*\):/\1/p' >/srv/apt/fingerprint
index() {
    cd "/srv/apt/$1"
    apt-ftparchive packages . >Packages
    apt-ftparchive -oAPT::FTPArchive::Release::Origin="$2" -oAPT::FTPArchive::Release::Label="$2" release . >Release.new
    mv Release.new Release
    gpg --batch --yes --clearsign --output InRelease Release
}
index debian Debian
index nvidia NVIDIA
rm -rf $GNUPGHOME /etc/apt/sources.list /etc/apt/sources.list.d/*
cp /srv/apt/key.asc /usr/share/keyrings/vm.asc
printf 'Types: deb\nURIs: file:///srv/apt/debian/\nSuites: /\nSigned-By: /usr/share/keyrings/vm.asc\n' \
    >/etc/apt/sources.list.d/debian.sources

# In emulation on a busy machine nothing is in time.
ARGUMENTS=$(cat /usr/local/share/kernel-arguments)

# Boot loader: grub-mkconfig needs a running system and makes the real menu at the first boot.
mkdir -p /boot/efi
/usr/local/sbin/offline-menu
cat >>/etc/default/grub <<EOF
GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="$ARGUMENTS"
GRUB_DISABLE_OS_PROBER=true
GRUB_DISABLE_RECOVERY=true
EOF
printf 'LABEL=dgctl-root / ext4 defaults 0 1\nLABEL=DGCTL-ESP /boot/efi vfat umask=0077,noauto,nofail 0 0\n' >/etc/fstab
echo vm >/etc/hostname
echo '127.0.0.1 localhost vm' >/etc/hosts
passwd -d root >/dev/null
systemd-machine-id-setup >/dev/null 2>&1 # else the first boot is one, with all that systemd does then
systemctl enable --quiet systemd-networkd ssh simulated-gpu
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer fstrim.timer \
    systemd-networkd-wait-online.service systemd-binfmt.service systemd-hwdb-update.service
# The first boot is then one like any other.
/usr/lib/systemd/systemd-update-done
