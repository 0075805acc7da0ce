"""What each fault of the lab looks like to a person's own tools: a command on the server, and what its output then says."""

from __future__ import annotations

from typing import NamedTuple


class Symptom(NamedTuple):
    """`faulty`: a pattern that the command's output matches while the fault is there, and does not match without it."""

    command: str
    faulty: str


FIRST_ENGINE = "docker ps -a --format '{{.Names}}' | grep engine"
QUERY = "nvidia-smi --format=csv,noheader --query-gpu="
SINCE_ITS_START = "tac | sed '/SIMULATED/q'"
SYMPTOMS = {
    "library-mismatch": Symptom("nvidia-smi", "^Failed to initialize NVML: Driver/library version mismatch"),
    "module-missing-next-kernel": Symptom(
        "for image in /boot/vmlinuz-*; do modinfo -k ${image#/boot/vmlinuz-} -n nvidia; done", "not found"
    ),
    "nouveau-loaded": Symptom("lspci -k -d 10de:", "Kernel driver in use: nouveau"),
    "module-key-rejected": Symptom(
        "modprobe nvidia", "^modprobe: ERROR: could not insert 'nvidia': Key was rejected by service$"
    ),
    "gpu-off-bus": Symptom("nvidia-smi", "GPU is lost.  Reboot the system"),
    "gpu-missing": Symptom("lspci -d 10de: | wc -l", "^1$"),
    "fabricmanager-missing": Symptom(QUERY + "fabric.state -i 0", "^In Progress$"),
    "fabricmanager-version": Symptom(
        "systemctl status --no-pager nvidia-fabricmanager", "interface version .* don't match with driver version"
    ),
    "toolkit-versions": Symptom(
        "dpkg-query -W -f '${Version}\\n' '*nvidia-container*' | sort -u | grep -c '[0-9]'", "^2$"
    ),
    "cdi-stale": Symptom("cat /etc/cdi/nvidia.yaml", r"libcuda\.so\.570\.86\.15"),
    "cdi-version": Symptom(
        "docker run --rm --device nvidia.com/gpu=all $(docker images -q | head -1) true", "unresolvable CDI devices"
    ),
    "docker-runtime-lost": Symptom("docker info --format '{{.Runtimes}}'", r"^map(?!.*nvidia)"),
    "daemon-json-malformed": Symptom("dockerd --validate", "unable to configure the Docker daemon"),
    "nvml-unknown-error": Symptom(
        f"docker exec $({FIRST_ENGINE}) nvidia-smi", "^Failed to initialize NVML: Unknown Error"
    ),
    "engine-on-cpu": Symptom(
        f"docker inspect -f '{{{{json .HostConfig.DeviceRequests}}}}' $({FIRST_ENGINE})", "^(null|\\[\\])$"
    ),
    "libcuda-missing": Symptom(
        f"sleep 3; docker logs --tail 1 $({FIRST_ENGINE})", "error while loading shared libraries: libcuda.so.1"
    ),
    "package-upgraded": Symptom("dpkg -l nvidia-modprobe libcuda1 | awk '/^.i/ {print $3}' | sort -u | wc -l", "^2$"),
    "held-broken": Symptom("dpkg --audit", "unpacked but not yet configured"),
    "two-sources": Symptom("apt-cache policy nvidia-settings", "Installed: 550"),
    "dpkg-locked": Symptom("apt-get check", r"held by process \d+ \(unattended-upgr\)"),
    "disk-full": Symptom("cp /etc/services /var/lib/a-new-file", "No space left on device"),
    "repository-signature": Symptom(
        "apt-get update", "OpenPGP signature verification failed: https://apt.lab.test/nvidia"
    ),
    "clock-off": Symptom("echo $(( $(date +%s) - $(stat -c %Y $(mktemp)) ))", r"^864\d\d$|^863\d\d$"),
    "mig-enabled": Symptom(QUERY + "mig.mode.current", "^Enabled$"),
    "pre-turing-open": Symptom("dmesg", r"NVRM: System Processor \(GSP\)\."),
    "blackwell-proprietary": Symptom("nvidia-smi", "^No devices were found$"),
    "pcie-width": Symptom("cat /sys/bus/pci/devices/*/current_link_width", "^8$"),
    "retirement-pending": Symptom(QUERY + "retired_pages.pending,remapped_rows.pending", "Yes"),
    "xid-79": Symptom("dmesg -T", r"NVRM: Xid \(PCI:0000:[0-9a-f]{2}:00\): 79, .*GPU has fallen off the bus"),
    "nginx-masked": Symptom("systemctl is-enabled nginx", "^masked"),
    "nginx-not-reloaded": Symptom(
        "test $(stat -c %Y /etc/nginx/conf.d/deepgram.conf) -le $(stat -c %Y /proc/$(pgrep -n nginx)) || echo older",
        "^older$",
    ),
    "proxy-without-cap": Symptom("grep -c max_conns= /etc/nginx/conf.d/deepgram.conf", "^0$"),
    "certificate-of-five-days": Symptom(
        "openssl x509 -in /etc/nginx/tls/deepgram.crt -noout -checkend 600000", "^Certificate will expire$"
    ),
    "engine-hangs": Symptom("curl -s -m 3 -o /dev/null -w '%{errormsg}' http://127.0.0.1:9991/metrics", "timed out"),
    "limit-under-a-table": Symptom(
        "sed -n '/^.features/,/^$/p' /etc/deepgram/engine/engine.toml", "^max_active_requests"
    ),
    "model-truncated": Symptom("find /var/lib/deepgram/models -name '*.dg' -size -1k | wc -l", "^1$"),
    "key-file-open": Symptom("stat -c %a /etc/deepgram/deepgram.env", "^644$"),
    "boot-unit-disabled": Symptom("systemctl is-enabled deepgram.service", "^disabled$"),
    "nginx-stopped": Symptom("systemctl is-active nginx", "^inactive$"),
    "nginx-refuses-its-files": Symptom("nginx -t", 'unknown directive "proxy_pas"'),
    "second-default-server": Symptom("nginx -t", "a duplicate default server"),
    "nginx-out-of-connections": Symptom("grep worker_connections /etc/nginx/nginx.conf", " 32;"),
    "nginx-out-of-descriptors": Symptom("prlimit -n -o SOFT --noheadings -p $(pgrep -n nginx)", r"^ *\d{1,2}$"),
    "certificate-ended": Symptom(
        "openssl x509 -in /etc/nginx/tls/deepgram.crt -noout -checkend 0", "^Certificate will expire$"
    ),
    "certificate-of-another-name": Symptom(
        "openssl x509 -in /etc/nginx/tls/deepgram.crt -noout -ext subjectAltName", "DNS:elsewhere.lab.test"
    ),
    "certificate-without-its-chain": Symptom(
        "openssl verify /etc/nginx/tls/deepgram.crt", "unable to get local issuer certificate"
    ),
    "certificate-of-another-key": Symptom("nginx -t", "key values mismatch"),
    "engine-of-another-image": Symptom("docker inspect -f '{{.Config.Image}}' deepgram-engine", "^simulated/"),
    "release-expired": Symptom("docker logs --tail 5 deepgram-engine", "past its end of life"),
    "engine-paused": Symptom("docker ps", r"\(Paused\)"),
    "api-asks-another-engine": Symptom("curl -s http://127.0.0.1:8080/v1/status/engine", '"Disconnected"'),
    "api-blames-itself": Symptom("curl -s http://127.0.0.1:8080/v1/status", "Critical|Degraded"),
    "api-on-its-default": Symptom(
        f"docker logs --tail 30 deepgram-api 2>&1 | {SINCE_ITS_START}", "Configuration file not found"
    ),
    "api-stale-mount": Symptom("docker exec deepgram-api ls /config/api.toml", "No such file"),
    "licence-unreachable": Symptom("docker logs --tail 5 deepgram-engine", "Unable to verify the license"),
    "licence-refused": Symptom("docker logs --tail 5 deepgram-engine", "failed: 401"),
    "mtu-black-hole": Symptom("cat /sys/class/net/eth0/mtu", "^1400$"),
    "companion-missing": Symptom("ls /var/lib/deepgram/models | grep -c entity-detector", "^1$"),
    "model-bit-flipped": Symptom(f"docker logs --tail 40 deepgram-engine 2>&1 | {SINCE_ITS_START}", "damaged payload"),
    "model-of-another-project": Symptom(
        f"docker logs --tail 40 deepgram-engine 2>&1 | {SINCE_ITS_START}", "wrong project key"
    ),
    "inodes-out": Symptom("cp /etc/services /var/lib/a-new-file", "No space left on device"),
    "file-handles-out": Symptom("cat /proc/sys/fs/file-nr", "^198000"),
    "conntrack-full": Symptom(
        "cmp /proc/sys/net/netfilter/nf_conntrack_count /proc/sys/net/netfilter/nf_conntrack_max && echo full", "^full$"
    ),
    "gpu-device-closed": Symptom("stat -c %a /dev/nvidia0", "^600$"),
    "resolver-dead": Symptom("head -1 /etc/resolv.conf", r"127\.0\.0\.54"),
    "resolver-slow": Symptom("head -1 /etc/resolv.conf", r"127\.0\.0\.55"),
    "second-firewall": Symptom("ufw status", "^Status: active"),
    "ecc-errors": Symptom("nvidia-smi --format=csv,noheader --query-gpu=ecc.errors.uncorrected.volatile.total", "^3$"),
    "gpu-too-hot": Symptom(
        "nvidia-smi --format=csv,noheader --query-gpu=clocks_event_reasons.hw_thermal_slowdown", "^Active$"
    ),
    "hold-lifted": Symptom("apt-mark showhold | grep -c libnvidia-ml1", "^0$"),
}
