getent passwd nginx >/dev/null || useradd --system --home-dir /var/lib/nginx --shell /sbin/nologin --user-group nginx
mkdir -p /var/lib/nginx /var/log/nginx
