update-ca-certificates
rm -f /etc/ssh/ssh_host_* /etc/nginx/sites-enabled/default
systemctl set-default multi-user.target
systemctl disable ssh.service ssh.socket
systemctl mask getty@.service console-getty.service systemd-networkd.service systemd-networkd-wait-online.service

systemctl enable docker-registry.service nginx.service lab-htpasswd.service lab-license-server.service
: > /etc/machine-id
rm -f /var/cache/apt/archives/*.deb
