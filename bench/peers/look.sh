# The questions that tell whether a server is right, as one would write them by hand; runs on the server as root.
cd /
echo files
sha256sum \
    etc/apt/apt.conf.d/52nvidia-driver etc/apt/keyrings/nvidia-container-toolkit.gpg etc/apt/keyrings/nvidia-driver.gpg \
    etc/apt/sources.list.d/nvidia-container-toolkit.sources etc/apt/sources.list.d/nvidia-driver.sources \
    etc/deepgram/api/api.toml etc/deepgram/compose.yaml etc/deepgram/deepgram.env etc/deepgram/engine/engine.toml \
    etc/deepgram/images.json etc/deepgram/registry/config.json etc/docker/daemon.json etc/modprobe.d/nvidia-driver.conf \
    etc/nginx/conf.d/deepgram.conf etc/nginx/tls/deepgram.crt etc/nginx/tls/deepgram.key etc/nginx/nginx.conf \
    etc/nginx/modules-enabled/90-deepgram.conf \
    etc/systemd/system/deepgram.service etc/systemd/system/nvidia-cdi-refresh.service.d/50-before-containers.conf \
    etc/systemd/system/nvidia-persistenced.service.d/50-persistence-mode.conf run/cdi/nvidia.yaml
find var/lib/deepgram/models -maxdepth 1 -name '*.dg' -o -name '*.dgv2' | sort | xargs -r stat -c '%n %s %Y %a %u %g'
echo packages
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' \
    nvidia-open nvidia-kernel-open-dkms nvidia-persistenced nvidia-driver-pinning-580 nvidia-container-toolkit \
    nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1 docker.io docker-cli docker-compose \
    nginx openssl
apt-mark showhold
echo services
systemctl is-active docker nginx deepgram nvidia-persistenced nvidia-cdi-refresh.path
systemctl is-enabled docker nginx deepgram nvidia-persistenced nvidia-cdi-refresh.path
echo containers
docker inspect --format \
    '{{.Name}} {{.Image}} {{.State.Running}} {{.State.StartedAt}} {{index .Config.Labels "com.docker.compose.config-hash"}}' \
    deepgram-api deepgram-engine
echo driver
cat sys/module/nvidia/version
nvidia-smi --query-gpu=uuid,driver_version,persistence_mode --format=csv,noheader
echo answers
curl --silent --output /dev/null --max-time 3 --write-out '%{http_code}\n' http://127.0.0.1:8080/v1/status
