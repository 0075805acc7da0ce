"""dnf's repositories, as its files name them: which are enabled, where they lie, whose keys they have."""

import platform
import re

FILES = "/etc/yum.repos.d/*.repo"
OURS = ("nvidia-driver.repo", "nvidia-driver-epel.repo", "nvidia-container-toolkit.repo", "docker.repo")
ON = ("1", "yes", "true", "on")


def repositories_of(host):
    """{id: {file, and its settings by name}} of those that are enabled."""
    found = {}
    for path in host.glob(FILES):
        for name, settings in sections(host.read(path)).items():
            if settings.get("enabled", "1").lower() in ON:
                found[name] = {key: filled(host, value) for key, value in settings.items()} | {"file": path}
    return found


def sections(text):
    """{section: {name: value}} of a .repo file; a line that is set in goes on with the one before."""
    found, name, settings = {}, "", {}
    for line in text.splitlines():
        head = re.match(r"\[(.+)\]\s*$", line)
        if head:
            settings, name = found.setdefault(head.group(1), {}), ""
        elif line[:1].isspace() and name:
            settings[name] += " " + line.strip()
        elif "=" in line and line[:1] not in "#;":
            name, _, value = (part.strip() for part in line.partition("="))
            settings[name.lower()] = value
            name = name.lower()
    return found


def filled(host, value):
    """A setting with dnf's own variables in their place; another one stays as it is written."""
    release = re.search(r'^VERSION_ID="?(\d+)', host.read("/etc/os-release"), re.MULTILINE)
    value = re.sub(r"\$(basearch|arch)\b|\$\{(basearch|arch)\}", platform.machine(), value)
    return re.sub(r"\$releasever\b|\$\{releasever\}", release.group(1), value) if release else value


def place(repositories, name):
    """Where a repository lies: one of two names is one."""
    known = repositories.get(name, {})
    return (known.get("baseurl") or known.get("metalink") or known.get("mirrorlist") or name).rstrip("/")


def keys(repository):
    """The files of its keys; of one whose name is not known nothing is said."""
    words = re.split(r"[\s,]+", repository.get("gpgkey", ""))
    return [word.removeprefix("file://") for word in words if word.startswith("file:///") and "$" not in word]


def ours(repository):
    """Has a role written it?"""
    return repository["file"].rpartition("/")[2] in OURS
