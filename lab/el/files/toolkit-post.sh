mkdir -p /etc/nvidia-container-runtime
[ -e /etc/nvidia-container-runtime/config.toml ] || nvidia-ctk --quiet config --config-file=/etc/nvidia-container-runtime/config.toml --in-place
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet nvidia-cdi-refresh.path nvidia-cdi-refresh.service
    systemctl restart nvidia-cdi-refresh.path || true
    systemctl restart nvidia-cdi-refresh.service || true
fi
