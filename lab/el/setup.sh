# Debian's programs under EL's package manager: real dnf and rpm, and nothing of apt and dpkg.

# What comes in packages of its own on EL leaves; the libraries that it needs stay.
for name in $CARRIED dkms; do
    # versionlock comes later, dnf-plugins-core has more that dnf itself needs
    [ "$name" = dnf-plugins-core ] || dpkg --purge --force-all "$name" >/dev/null 2>&1 || true
done
rm -f /usr/lib/python3/dist-packages/dnf-plugins/versionlock.py /etc/dnf/plugins/versionlock.*
rm -f /usr/lib/python3/dist-packages/dnf-plugins/system_upgrade.py /usr/lib/python3/dist-packages/dnf-plugins/local.py /etc/dnf/plugins/local.conf /usr/sbin/policy-rc.d
rm -rf /etc/nginx /var/www /etc/docker /etc/containers /var/lib/docker /var/lib/containers
groupdel docker 2>/dev/null || true

printf '[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n' > /etc/dnf/dnf.conf
mkdir -p /etc/pki/rpm-gpg /var/lib/rpm
rm -f /etc/debian_version

# stub NAME VERSION [PROVIDES]: a package without files, for what is there in another way.
mkdir -p /tmp/rpm
stub() {
    cat > "/tmp/rpm/$1.spec" <<SPEC
Name: $1
Version: $2
Release: 1.el9
Summary: what an EL-like server has (simulated)
License: none
BuildArch: x86_64
AutoReqProv: no
${3:+Provides: $3}
%description
Stand-in of the dgctl lab.
%files
SPEC
    rpmbuild --quiet -bb --define "_topdir /tmp/rpm" --define "_rpmdir /tmp/rpm" "/tmp/rpm/$1.spec"
}
stub rocky-release 9.5 "system-release = 9.5, system-release(releasever) = 9"
stub bash 5.1.8 /bin/sh
# The running kernel and its headers, as a maintained server has them.
for name in kernel kernel-core kernel-modules kernel-modules-core kernel-devel kernel-devel-matched; do
    stub $name "$(echo "$KERNEL" | tr '-' '.')"
done
rpm -i /tmp/rpm/x86_64/*.rpm
rm -rf /tmp/rpm

for name in apt apt-get apt-cache apt-mark apt-key apt-cdrom apt-config dpkg dpkg-query dpkg-deb dpkg-divert dpkg-split dpkg-statoverride dpkg-trigger rpmbuild; do
    rm -f "/usr/bin/$name"
done
# mmdebstrap still needs the folders.
rm -rf /var/lib/dpkg/status* /var/lib/dpkg/info /etc/apt/sources.list* /etc/cron.daily/apt* /etc/cron.daily/dpkg /usr/lib/systemd/system/apt-daily* /usr/lib/systemd/system/dpkg-db-backup*
find /etc/systemd/system /usr/lib/systemd/system -name 'apt-daily*' -o -name 'dpkg-db-backup*' | xargs -r rm -f
ldconfig
