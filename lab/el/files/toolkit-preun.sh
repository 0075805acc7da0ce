[ "$1" != 0 ] || systemctl disable --quiet --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service || true
