"""Faults of packages and their sources: upgraded, half installed, from two sources, locked, wrongly signed."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target
from lab.shell import LabError

INSTALL = (
    "apt-get install -qy --no-install-recommends --allow-downgrades --allow-change-held-packages "
    "-o Dpkg::Lock::Timeout=60"
)
NVIDIA = "/etc/apt/sources.list.d/lab-nvidia.sources"
NONFREE = "/etc/apt/sources.list.d/debian-non-free.sources"
STANZA = "Types: deb\nURIs: https://apt.lab.test/{path}/\nSuites: /\nSigned-By: /usr/share/keyrings/dgctl-lab.asc\n"
LIBRARY, DAEMON = "libnvidia-ml.so.1", "nvidia-persistenced"  # files of the driver's packages
OF_DISTRIBUTION = "nvidia-alternative nvidia-settings"
LOCKER = "lab-apt-daily-upgrade"


def update(path: str) -> str:
    """A command that fetches one source's lists and keeps the others."""
    return f"apt-get update -q -o Dir::Etc::sourcelist={path} -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"


def owner(target: Target, file: str) -> str:
    """The installed package that a file belongs to, which each system calls in its own way; empty: none."""
    lines = target.sh(f"dpkg-query -S '*/{file}' 2>/dev/null || true").splitlines()
    return next((line.split(":")[0] for line in lines if not line.startswith("diversion")), "")


def driver_version(target: Target) -> str:
    """Version and revision of the installed driver's library."""
    return target.sh(f"dpkg-query -W -f '${{Version}}' {owner(target, LIBRARY)}")


def offered(target: Target, package: str, version: str) -> list[str]:
    """The versions of a package in the repository that this one is from, newest first."""
    lines = target.sh(f"apt-cache madison {package}").splitlines()
    rows = [[field.strip() for field in line.split("|")] for line in lines]
    repositories = {repository for _, has, repository in rows if has == version}
    return [has for _, has, repository in rows if repository in repositories]


def other_version(target: Target) -> str:
    """Another version that the repository has, with revision; of the installed one's branch if there is one."""
    installed = driver_version(target)
    others = [one for one in offered(target, owner(target, LIBRARY), installed) if one != installed]
    if not others:
        raise LabError("The driver's repository has no other version.", "Add it: lab/nvidia/packages.toml")
    same = [version for version in others if version.split(".")[0] == installed.split(".")[0]]
    return (same or others)[0]


def add_nvidia_source(target: Target) -> None:
    """NVIDIA's repository on a server that has none."""
    if target.holds("grep -qrs apt.lab.test/nvidia /etc/apt/sources.list.d"):
        return
    text = STANZA.format(path="nvidia/debian13/x86_64")
    target.sh(f"cat > {NVIDIA} <<'END'\n{text}END\n{update(NVIDIA)}")


@inject("package-upgraded")
def upgraded(target: Target) -> str:
    """nvidia-modprobe, on which no package depends with an exact version."""
    installed = driver_version(target)
    newer = [
        one for one in offered(target, "nvidia-modprobe", installed) if one.split(".")[0] > installed.split(".")[0]
    ]
    if not newer:
        raise LabError(f"The driver's repository has no newer nvidia-modprobe than {installed}.")
    target.sh(f"{INSTALL} nvidia-modprobe={newer[-1]} >/dev/null")
    return f"nvidia-modprobe {newer[-1]} beside a driver {installed}; its hold is gone."


@heal("package-upgraded")
def same_again(target: Target) -> str:
    version = driver_version(target)
    target.sh(f"{INSTALL} nvidia-modprobe={version} >/dev/null; apt-mark hold nvidia-modprobe >/dev/null")
    return f"nvidia-modprobe {version}, held."


@inject("held-broken")
def unpacked(target: Target) -> str:
    """As when a server went down while dpkg was at work. A hold stays, so that this is the only thing wrong."""
    package = owner(target, DAEMON)
    return target.sh(f"""
    selection=$(dpkg --get-selections {package})
    cd "$(mktemp -d)"
    apt-get download -q "{package}={driver_version(target)}" >/dev/null 2>&1
    dpkg --unpack {package}_*.deb >/dev/null
    echo "$selection" | dpkg --set-selections
    dpkg --audit | grep -A3 'unpacked but not'
    """)


@heal("held-broken")
def configured(target: Target) -> str:
    target.sh("dpkg --configure -a")
    return "Every package is configured."


@inject("two-sources")
def two_sources(target: Target) -> str:
    text = STANZA.format(path="debian13/non-free")
    target.sh(f"cat > {NONFREE} <<'END'\n{text}END\n{update(NONFREE)}\n{INSTALL} {OF_DISTRIBUTION}")
    return f"{NONFREE} is configured, and {OF_DISTRIBUTION} installed from it."


@heal("two-sources")
def one_source(target: Target) -> str:
    target.sh(f"apt-get purge -qy {OF_DISTRIBUTION} >/dev/null; rm -f {NONFREE} /var/lib/apt/lists/*non-free*")
    return f"{OF_DISTRIBUTION} and {NONFREE} are gone."


@inject("dpkg-locked")
def locked(target: Target) -> str:
    """A process called as unattended-upgrades is holds both locks."""
    target.sh(f"""
    systemd-run --quiet --unit={LOCKER} --description='Daily apt upgrade and clean activities' /usr/bin/python3 -c '
import fcntl, signal
open("/proc/self/comm", "w").write("unattended-upgr")
held = [open("/var/lib/dpkg/" + name, "w") for name in ("lock-frontend", "lock")]
for lock in held:
    fcntl.lockf(lock, fcntl.LOCK_EX)
signal.pause()'
    for try in $(seq 50); do
        if ! apt-get check -q >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    """)
    return target.sh("{ apt-get check -q 2>&1 || true; } | sed -n '/lock/p'")


@heal("dpkg-locked")
def unlocked(target: Target) -> str:
    target.sh(f"systemctl stop {LOCKER} 2>/dev/null || true")
    return "Nobody holds dpkg's lock."


SIGNED_BY = """
file=$(grep -ls apt.lab.test/nvidia /etc/apt/sources.list.d/* | head -1)
key=$(sed -nE 's/.*[Ss]igned-[Bb]y[=:] *([^] ]+).*/\\1/p' "$file" | head -1)
"""


@inject("repository-signature")
def wrong_key(target: Target) -> str:
    """The host's key file holds another key, as when the owner of a repository has changed theirs."""
    key = target.sh(SIGNED_BY + 'echo "$key"')
    target.keep(key)
    target.sh(f"""
    export GNUPGHOME=$(mktemp -d)
    gpg --batch --quiet --passphrase '' --quick-generate-key 'Another owner (simulated)' ed25519 sign never 2>/dev/null
    armor=; case {key} in *.asc) armor=--armor ;; esac
    gpg --batch --yes $armor --export > {key}
    rm -rf "$GNUPGHOME"
    """)
    reported = target.sh(f"{SIGNED_BY}\n{{ {update('$file')} 2>&1 || true; }} | sed -n '/verif/p'")
    return f"{key} holds another key. {reported}"


@heal("repository-signature")
def right_key(target: Target) -> str:
    paths = target.put_back()
    target.sh(f"{SIGNED_BY}\n{update('$file')}")
    return f"{', '.join(paths)} is as it was."


@inject("hold-lifted")
def not_held(target: Target) -> str:
    """Somebody took the hold from one of the driver's packages: the next upgrade replaces it under running containers."""
    package = owner(target, LIBRARY)
    return target.sh(f"apt-mark unhold {package}; apt-mark showhold")


@heal("hold-lifted")
def held(target: Target) -> str:
    return target.sh(f"apt-mark hold {owner(target, LIBRARY)}")
