# Debian's programs under Ubuntu's name, with its kernel packages and its archive.
cat > /usr/lib/os-release <<NAMES
PRETTY_NAME="Ubuntu $RELEASE LTS"
NAME="Ubuntu"
VERSION_ID="$RELEASE"
VERSION="$RELEASE LTS ($WORDS)"
VERSION_CODENAME=$CODE
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=$CODE
NAMES
cat > /etc/apt/sources.list.d/ubuntu.sources <<SOURCES
# Simulated: what restricted and multiverse have of NVIDIA's.
Types: deb
URIs: https://apt.lab.test/ubuntu
Suites: /
Trusted: yes
SOURCES

# The meta packages that bring kernels and their headers: names without files.
mkdir /tmp/image /tmp/headers
install_package linux-image-generic "$version" /tmp/image "Depends: linux-image-$kernel" "Generic Linux kernel image"
install_package linux-headers-generic "$version" /tmp/headers "Depends: linux-headers-$kernel" "Generic Linux kernel headers"
