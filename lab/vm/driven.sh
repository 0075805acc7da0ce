# A server with a driver for the older kernel: NVIDIA's packages, of which the real DKMS builds the module.
install="apt-get install -q -y --no-install-recommends"
printf 'Types: deb\nURIs: file:///srv/apt/nvidia/\nSuites: /\nSigned-By: /usr/share/keyrings/vm.asc\n' \
    >/etc/apt/sources.list.d/nvidia-driver.sources
apt-get update -q
$install "linux-headers-$(head -n 1 /srv/kernels)" nvidia-open
