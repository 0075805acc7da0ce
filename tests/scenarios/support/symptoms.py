"""What each fault of the lab looks like to a person's own tools: a command on the server, and what its output then says."""

from __future__ import annotations

from typing import NamedTuple


class Symptom(NamedTuple):
    """`faulty`: a pattern that the command's output matches while the fault is there, and does not match without it."""

    command: str
    faulty: str


FIRST_ENGINE = "docker ps -a --format '{{.Names}}' | grep engine"
QUERY = "nvidia-smi --format=csv,noheader --query-gpu="
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
}
