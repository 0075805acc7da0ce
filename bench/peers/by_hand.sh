# Makes a blank server what `dgctl provision` makes of it, as an engineer who knows all the answers would by hand.
# Runs on the server as root, over one SSH connection; stdin: a tar with the configuration files written beforehand.
# Arguments: DRIVER TOOLKIT NAME ADDRESS DAYS DRIVER_KEY_URL TOOLKIT_KEY_URL MODEL_URL=SHA256...
set -euo pipefail
driver=$1 toolkit=$2 name=$3 address=$4 days=$5 driver_key=$6 toolkit_key=$7
shift 7
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -qq -y --no-install-recommends --allow-change-held-packages -o Dpkg::Options::=--force-confold)
umask 022

# Files: apt sources, modprobe and apt settings, daemon.json, drop-ins, /etc/deepgram, the NGINX site.
tar --extract --gzip --no-same-owner --preserve-permissions --directory /
mkdir -p /etc/apt/keyrings
curl --silent --show-error --fail "$driver_key" | gpg --dearmor --yes --output /etc/apt/keyrings/nvidia-driver.gpg
curl --silent --show-error --fail "$toolkit_key" | gpg --dearmor --yes --output /etc/apt/keyrings/nvidia-container-toolkit.gpg

# Before its package: NGINX's first start then finds its certificate.
mkdir -p /etc/nginx/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256 -nodes -days "$days" -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name,IP:$address" -addext basicConstraints=critical,CA:FALSE \
    -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
    -keyout /etc/nginx/tls/deepgram.key -out /etc/nginx/tls/deepgram.crt 2>/dev/null
chmod 0600 /etc/nginx/tls/deepgram.key

apt-get update -qq
{
    # apt reads the pin before it resolves the rest.
    "${install[@]}" "nvidia-driver-pinning-${driver%%.*}"
    "${install[@]}" "nvidia-open=$driver-*" docker.io docker-cli docker-compose nginx openssl \
        "nvidia-container-toolkit=$toolkit" "nvidia-container-toolkit-base=$toolkit" \
        "libnvidia-container-tools=$toolkit" "libnvidia-container1=$toolkit"
    # The driver's packages, its pin, the toolkit's.
    dpkg-query -W -f '${Package} ${Version}\n' |
        awk -v v="$driver-" 'index($2, v) == 1 || /^(nvidia-driver-pinning|(lib)?nvidia-container)/ {print $1}' |
        xargs apt-mark hold
} >/var/log/by-hand.log

modprobe nvidia
modprobe nvidia-uvm || true
modprobe nvidia-modeset || true
systemctl daemon-reload
systemctl enable --quiet nvidia-persistenced nvidia-cdi-refresh.path nvidia-cdi-refresh.service docker nginx
systemctl restart nvidia-persistenced nvidia-cdi-refresh.service
systemctl start nvidia-cdi-refresh.path
# Its packages started it before it could know the toolkit.
systemctl restart docker

rm -f /etc/nginx/sites-enabled/default
nginx -t -q
systemctl reload nginx

mkdir -p /var/lib/deepgram/models
cd /var/lib/deepgram/models
for model in "$@"; do printf 'url = "%s"\nremote-name\n' "${model%=*}"; done |
    curl --silent --show-error --fail --parallel --config -
for model in "$@"; do echo "${model##*=}  $(basename "${model%=*}")"; done | sha256sum --check --quiet
comma=''
{ echo '{'; for model in "$@"; do
    file=$(basename "${model%=*}")
    mtime=$(stat -c %.9Y "$file")
    printf '%s"%s": {"mtime_ns": %s, "sha256": "%s", "size": %s}' \
        "$comma" "$file" "${mtime/./}" "${model##*=}" "$(stat -c %s "$file")"
    comma=', '
done; echo '}'; } >.sha256.json

cd /etc/deepgram
docker --config registry compose pull --quiet
docker compose --progress quiet up --detach
systemctl enable --quiet --now deepgram.service
until curl --silent --max-time 2 http://127.0.0.1:8080/v1/status/engine | grep -q '"Connected"'; do sleep 0.5; done
nvidia-smi --query-gpu=persistence_mode,driver_version --format=csv,noheader
