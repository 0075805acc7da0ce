"""Files beside the inventory that Ansible does not read, because of their name: it says nothing, and values are missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.base.locate import shown
from dgctl.deployment.deployment import GROUPS
from dgctl.deployment.inventory_file import YAML_NAMES
from dgctl.validation.context import Context

_MISNAMED = re.compile(
    r"(?P<name>.+\.(?:ya?ml|json))(?:~|\..+|_.*)|(?P<stem>.+)\.(?:txt|ini|cfg|conf|vars|YML|YAML|yaml\s|yml\s)"
)


def problems(context: Context) -> Iterator[Problem]:
    folder = context.deployment.folder
    hosts = {host.name: host.address for host in context.deployment.hosts.values()}
    known = {"group_vars": {*context.deployment.groups, *GROUPS}, "host_vars": set(hosts)}
    yield from _folders(folder)
    yield from _elsewhere(context)
    for name, names in known.items():
        yield from _unread(folder / name)
        yield from _owners(folder / name, names, {address: host for host, address in hosts.items()})


def _folders(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.iterdir()):
        plain = re.sub(r"[^a-z]", "", path.name.lower()).replace("groups", "group").replace("hosts", "host")
        right = {"groupvars": "group_vars", "hostvars": "host_vars"}.get(plain, "")
        if not right or (path.name == right and path.is_dir()):
            continue
        if path.name == right:
            yield Problem(f"{right} must be a folder", shown(path), fix=f"move it: {right}/all.yml")
        elif path.is_dir() and not (folder / right).exists():
            fix = f"mv {shown(path)} {shown(folder / right)}"
            yield Problem("Ansible does not read a folder of this name", shown(path), fix=fix)


def _elsewhere(context: Context) -> Iterator[Problem]:
    """Settings one folder up, or here, while the inventory's own folder has none and values are missing."""
    folder = context.deployment.folder
    needed = ("deepgram_release", "deepgram_models_links", "deepgram_api_key")
    if (folder / "group_vars").exists() or all(set(needed) <= set(host.written) for host in context.served):
        return
    for other in (Path.cwd(), folder.absolute().parent):
        if (other / "group_vars").is_dir():
            fix = f"mv {shown(other / 'group_vars')} {shown(folder / 'group_vars')}"
            yield Problem("Ansible reads group_vars beside the inventory alone", shown(other / "group_vars"), fix=fix)
            return


def _unread(folder: Path) -> Iterator[Problem]:
    """Files whose suffix hides them, where no file of the right name stands beside them (then they are backups)."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.exists():
            yield Problem("this file is a link to nowhere", shown(path), fix="correct the link, or remove it")
            continue
        found = _MISNAMED.fullmatch(path.name.lstrip("."))
        hidden = path.name.startswith(".") and path.suffix in YAML_NAMES
        if not path.is_file() or not (found or hidden):
            continue
        name = (found["name"] or f"{found['stem']}.yml") if found else path.name.lstrip(".")
        if not any(path.with_name(Path(name).stem + suffix).exists() for suffix in YAML_NAMES):
            fix = f"mv {shown(path)} {shown(path.with_name(name))}"
            yield Problem("Ansible does not read a file of this name", shown(path), fix=fix)


def _owners(folder: Path, names: set[str], addresses: dict[str, str]) -> Iterator[Problem]:
    """Files and folders of a group or server that differs from a known one by case, zeros or signs alone, or by its address."""
    plain = {_plain(name): name for name in names}
    for path in sorted(folder.glob("[!.]*")):
        name = path.stem if path.suffix in YAML_NAMES else path.name
        right = plain.get(_plain(name)) or (addresses.get(name) if folder.name == "host_vars" else None)
        if name in names or not right or (path.suffix and path.suffix not in YAML_NAMES and path.is_file()):
            continue
        if not any((folder / f"{right}{suffix}").exists() for suffix in ("", *YAML_NAMES)):
            what = "variables for a server" if folder.name == "host_vars" else "variables for a group"
            yield Problem(f"{what} that is not in the inventory", shown(path), name, f"did you mean {right}?")


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[-_.\s]", "", name.lower()))
