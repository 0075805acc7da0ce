"""What the roles wrote, units, the kernel's tables, device files and the network."""

from tests.doctor import service_patient
from tests.doctor.faults import service
from tests.doctor.faults.table import fault
from tests.doctor.service_patient import ENGINE, ENGINE_TOML, KEY_FILE

UFW_OFF = "# /etc/ufw/ufw.conf\nENABLED=no\nLOGLEVEL=low\n"
SSH_RULE = "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n"
OURS_RULE = "### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in\n"


@fault({"key files": "chmod 600 /etc/deepgram/deepgram.env"})
def key_file_for_everybody(patient):
    (patient.root / KEY_FILE[1:]).chmod(0o644)


@fault({"files": "dgctl provision"})
def engine_toml_edited(patient):
    edited = ENGINE.replace("multichannel = true", "multichannel = false")
    patient.write(ENGINE_TOML, edited)
    patient.write("/proc/4711/root/config/engine.toml", edited)


@fault({"daemon.json": "systemctl restart docker"})
def daemon_json_edited_into_nonsense(patient):
    patient.records["docker"]["files"] = service_patient.recorded(patient, "/etc/docker/daemon.json")
    patient.daemon('{\n    "debug": true,,\n}\n')


@fault({"files": "dgctl provision"})
def file_that_must_not_be(patient):
    patient.records["deepgram"]["absent"] = ["/etc/containers/systemd/deepgram.network"]
    patient.write("/etc/containers/systemd/deepgram.network")


@fault({"units": "systemctl enable deepgram.service"})
def boot_unit_disabled(patient):
    patient.states["deepgram.service"] = {"UnitFileState": "disabled"}


@fault({"units": "systemctl start deepgram.service"})
def boot_unit_stopped(patient):
    patient.states["deepgram.service"] = {"ActiveState": "failed"}


@fault({"file handles": "sort -n"})
def file_handles_out(patient):
    patient.write("/proc/sys/fs/file-nr", "98000\t0\t100000\n")


@fault({"conntrack": "sysctl -w net.netfilter.nf_conntrack_max=1048576"})
def conntrack_full(patient):
    patient.write("/proc/sys/net/netfilter/nf_conntrack_count", "262144\n")


@fault({"gpu devices": "chmod 0666 /dev/nvidia0"})
def device_for_root_alone(patient):
    (patient.root / "dev/nvidia0").chmod(0o600)


@fault({"gpu devices": "nvidia-modprobe -c 0 -u"})
def uvm_device_missing(patient):
    patient.remove("/dev/nvidia-uvm")


@fault({"resolver": "/etc/resolv.conf"})
def resolver_dead(patient):
    patient.dns = {}


@fault({"resolver": "/etc/resolv.conf"})
def first_resolver_dead(patient):
    patient.write("/etc/resolv.conf", "nameserver 192.0.2.1\nnameserver 192.0.2.53\n")


@fault({"resolver": "/etc/resolv.conf"})
def resolver_slow(patient):
    patient.dns = {"192.0.2.53": 2.6}


@fault({"mtu": "docker_daemon_options: {mtu: 1450}", "licence": "port 443", "api health": "deepgram-engine"})
def bridge_larger_than_the_way_out(patient):
    patient.write("/sys/class/net/eth0/mtu", "1450\n")
    service.licence_server_unreachable(patient)


def ufw(patient, rules=SSH_RULE, policy="DROP"):
    patient.write("/etc/ufw/ufw.conf", "# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n")
    patient.write("/etc/default/ufw", f'IPV6=yes\nDEFAULT_INPUT_POLICY="{policy}"\n')
    patient.write("/etc/ufw/user.rules", "*filter\n### RULES ###\n\n" + rules)


def firewalld(patient):
    patient.states["firewalld.service"] = {"LoadState": "loaded", "ActiveState": "active"}


@fault({"firewalls": "ufw allow 443/tcp"})
def ufw_switched_on(patient):
    ufw(patient)


@fault({"firewalls": "ufw disable"})
def two_firewalls(patient):
    ufw(patient, SSH_RULE + OURS_RULE)
    firewalld(patient)


@fault({"firewalls": "firewall-cmd --add-port"})
def firewalld_closed_the_port(patient):
    firewalld(patient)
    patient.say("firewalld", "no\n", 1)
    patient.say("firewalld_https", "no\n", 1)
