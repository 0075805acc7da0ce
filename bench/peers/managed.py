"""What is managed on a right server: the same lists for pyinfra, the script by hand and the SSH round trip."""

from __future__ import annotations

# Written by hand beforehand by whoever works by hand; by the roles from templates.
WRITTEN = [
    "/etc/apt/apt.conf.d/52nvidia-driver",
    "/etc/apt/sources.list.d/nvidia-container-toolkit.sources",
    "/etc/apt/sources.list.d/nvidia-driver.sources",
    "/etc/deepgram/api/api.toml",
    "/etc/deepgram/compose.yaml",
    "/etc/deepgram/deepgram.env",
    "/etc/deepgram/engine/engine.toml",
    "/etc/deepgram/images.json",
    "/etc/deepgram/registry/config.json",
    "/etc/docker/daemon.json",
    "/etc/modprobe.d/nvidia-driver.conf",
    "/etc/nginx/conf.d/deepgram.conf",
    "/etc/nginx/modules-enabled/90-deepgram.conf",
    "/etc/nginx/nginx.conf",
    "/etc/systemd/system/deepgram.service",
    "/etc/systemd/system/nvidia-cdi-refresh.service.d/50-before-containers.conf",
    "/etc/systemd/system/nvidia-persistenced.service.d/50-persistence-mode.conf",
]
# Fetched, or made on the server.
MADE = [
    "/etc/apt/keyrings/nvidia-container-toolkit.gpg",
    "/etc/apt/keyrings/nvidia-driver.gpg",
    "/etc/nginx/tls/deepgram.crt",
    "/etc/nginx/tls/deepgram.key",
    "/run/cdi/nvidia.yaml",
]
FILES = WRITTEN + MADE
MODELS = "/var/lib/deepgram/models"
# Prints `name bytes` of each model file.
SIZES = f"cd {MODELS} && find . -maxdepth 1 -name '*.dg' -printf '%f %s\\n' -o -name '*.dgv2' -printf '%f %s\\n'"
PACKAGES = [
    "nvidia-open",
    "nvidia-kernel-open-dkms",
    "nvidia-persistenced",
    "nvidia-driver-pinning-580",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
    "docker.io",
    "docker-cli",
    "docker-compose",
    "nginx",
    "openssl",
]
UNITS = ["docker", "nginx", "deepgram", "nvidia-persistenced", "nvidia-cdi-refresh.path"]
CONTAINERS = ["deepgram-api", "deepgram-engine"]
STATUS = "http://127.0.0.1:8080/v1/status"
# The directories that are made with the files, so that a tar brings their modes too.
DIRECTORIES = [
    "/etc/deepgram",
    "/etc/deepgram/api",
    "/etc/deepgram/engine",
    "/etc/deepgram/registry",
]
