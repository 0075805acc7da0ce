"""The patient where packages are rpm's: the driver of NVIDIA's repository, on Enterprise Linux 9."""

import sqlite3

from tests.doctor.patient import TOOLKIT, VERSION

LOCKED = ("nvidia-open", "nvidia-driver-cuda")
KMODS = ("nvidia-open", "nvidia-driver-cuda", "nvidia-driver-cuda-libs", "kmod-nvidia-open-dkms")
HISTORY = "/var/lib/dnf/history.sqlite"


def become_rpm(patient):
    """A healthy host of the Red Hat family."""
    patient.remove("/var/lib/dpkg/status")
    patient.write("/usr/bin/dnf")
    for name in ("apt_check", "apt_config", "apt_policy"):
        del patient.programs.answers[name]
    for role in ("nvidia_driver", "nvidia_container_toolkit"):
        patient.records[role]["packages"] = {}
    patient.records["nvidia_driver"]["packages"] = {
        name: {"version": f"3:{VERSION}-1.el9", "held": name in LOCKED, "status": "installed"} for name in KMODS
    }
    packages(patient, dict.fromkeys(KMODS, VERSION))
    lock(patient, *LOCKED)
    patient.say("rpm_check", "")


def packages(patient, versions):
    rows = [f"{name}\t3:{version}-1.el9\tx86_64" for name, version in versions.items()]
    rows += [f"{name}\t1.20.1-1\tx86_64" for name in TOOLKIT] + ["bash\t5.1.8-9.el9\tx86_64"]
    patient.say("rpm", "\n".join(rows) + "\n")


def lock(patient, *names):
    patient.write("/etc/dnf/plugins/versionlock.list", "".join(f"{name}-3:{VERSION}-1.el9.*\n" for name in names))


def repository(patient, name, url, file="", **settings):
    """A repository of its own file, as dnf reads it."""
    rows = {"name": name, "baseurl": url, "enabled": "1"} | settings
    text = f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())
    patient.write(f"/etc/yum.repos.d/{file or name}.repo", text)


def history(patient, *rows, ended="1700000000"):
    """dnf's record of one transaction: (name, version without epoch, repository) each, oldest first."""
    patient.write(HISTORY)
    path = patient.root / HISTORY.lstrip("/")
    path.unlink()
    base = sqlite3.connect(path)
    base.executescript(
        "CREATE TABLE trans (id INTEGER, dt_end INTEGER);"
        "CREATE TABLE trans_item (id INTEGER PRIMARY KEY, trans_id INTEGER, item_id INTEGER, repo_id INTEGER);"
        "CREATE TABLE rpm (item_id INTEGER, name TEXT, epoch INTEGER, version TEXT, release TEXT);"
        f"CREATE TABLE repo (id INTEGER, repoid TEXT); INSERT INTO trans VALUES (1, {ended});"
    )
    for number, (name, version, origin) in enumerate(rows):
        base.execute("INSERT INTO trans_item VALUES (?, 1, ?, ?)", (number, number, number))
        base.execute("INSERT INTO rpm VALUES (?, ?, 3, ?, '1.el9')", (number, name, version))
        base.execute("INSERT INTO repo VALUES (?, ?)", (number, origin))
    base.commit()
    base.close()


def offers(patient, *rows):
    """What `dnf repoquery` says that dnf would take: (name, version, repository) each."""
    patient.say("dnf_offers", "".join(f"{name} 3:{version}-1.el9 {origin}\n" for name, version, origin in rows))
