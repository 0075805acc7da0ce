"""A missing file of a package, taken from the package: to install that again restarts what runs (nginx-common does)."""

import glob
import shutil
import tempfile

from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.host.whole_file import text_of
from ansible.module_utils.packages import families
from ansible.module_utils.packages import manager as packages_manager
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt.advice import advice, errors
from ansible.module_utils.packages.apt.command import Apt
from ansible.module_utils.packages.dnf import command as dnf_command

LOCK_TIMEOUT_S = 600
BY_HAND = "Bring the file from a server of the same system and version, then run again."


def packaged(path, give_up):
    """The text of a file as its package has it; give_up(what, fix) does not return."""

    def missing(why, fix=BY_HAND):
        give_up(f"{path} is gone, and {why}", fix)

    name = packages_manager.owner(path)
    if not name:
        missing("no installed package has it")
    folder = tempfile.mkdtemp(prefix="package-files-")
    try:
        UNPACK[families.here().name](name, folder, missing)
        text = text_of(folder + path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if text is None:
        missing(f"package {name} as it is offered now does not have it")
    return text


def unpack_deb(name, folder, missing):
    """Into the folder comes what the installed version has; where that is offered no more, what is offered now."""
    reported = download(f"{name}={dpkg.packages()[name]['version']}", folder)
    if reported[0] != 0:
        rc, out, err = Apt(LOCK_TIMEOUT_S).update()
        if rc != 0:
            missing(f"apt-get update: {errors(rc, out, err)}", advice(err))
        reported = download(name, folder)
    if reported[0] != 0:
        what = errors(*reported)
        missing(f"apt-get download {name} ends with: {what}", advice(what))
    must(["dpkg-deb", "-x", *glob.glob(f"{folder}/*.deb"), folder], missing)


def download(request, folder):
    """apt-get's answer: it downloads to where it is called."""
    command = 'cd "$1" && exec apt-get -q download "$2"'
    return run(["sh", "-c", command, "sh", folder, request], timeout=600, env=dpkg.environment())


def unpack_rpm(name, folder, missing):
    """The same with dnf, for which the version that is offered now is an upgrade."""
    dnf = dnf_command.Dnf(LOCK_TIMEOUT_S)
    for verb in ("reinstall", "upgrade"):
        reported = dnf.plain(verb, "--downloadonly", f"--downloaddir={folder}", name)
        found = glob.glob(f"{folder}/{name}-[0-9]*.rpm")
        if found:
            break
    else:
        missing(f"dnf downloads no {name}: {dnf_command.errors(*reported)}", dnf_command.advice("".join(reported[1:])))
    must(["rpm2archive", found[0]], missing)
    shutil.unpack_archive(f"{found[0]}.tgz", folder)


UNPACK = {"apt": unpack_deb, "dnf": unpack_rpm}


def must(command, missing):
    rc, out, err = run(command, timeout=120)
    if rc != 0:
        missing(f"{command[0]} ends with: {last_line(err) or last_line(out)}")
