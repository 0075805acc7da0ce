# Debian's programs under Ubuntu's name, with its kernel packages and its archive.
cat > /usr/lib/os-release <<RELEASE
PRETTY_NAME="Ubuntu $VERSION LTS"
NAME="Ubuntu"
VERSION_ID="$VERSION"
VERSION="$VERSION LTS ($WORDS)"
VERSION_CODENAME=$CODE
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=$CODE
RELEASE
cat > /etc/apt/sources.list.d/ubuntu.sources <<SOURCES
# Simulated: what restricted and multiverse have of NVIDIA's.
Types: deb
URIs: https://apt.lab.test/ubuntu
Suites: /
Trusted: yes
SOURCES

# The running kernel, the meta packages that bring it and its headers: names without files.
name=$(echo $KERNEL | tr 'A-Z_' 'a-z-')
stand_in() {
    mkdir -p /tmp/kernel/DEBIAN
    chmod 0755 /tmp/kernel /tmp/kernel/DEBIAN
    cat > /tmp/kernel/DEBIAN/control <<CONTROL
Package: $1
Version: $(echo $KERNEL | tr '_' '.' | sed 's/-/+/g')-1
Architecture: amd64
Maintainer: dgctl lab <lab@lab.test>
Section: kernel
Priority: optional
Depends: $2
Description: $1 (simulated)
 Stand-in of the dgctl lab.
CONTROL
    [ -n "$2" ] || sed -i '/^Depends/d' /tmp/kernel/DEBIAN/control
    dpkg-deb --root-owner-group -Znone -b /tmp/kernel /tmp/kernel.deb
    dpkg -i /tmp/kernel.deb
    rm -rf /tmp/kernel /tmp/kernel.deb
}
stand_in linux-image-$name ""
stand_in linux-image-generic linux-image-$name
stand_in linux-headers-generic linux-headers-$name
