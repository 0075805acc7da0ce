"""Renders a role's templates as Ansible does, from its defaults, its vars and what a test sets."""

import functools
from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

from dgctl.deployment import compiled

from .conftest import ROOT

init_plugin_loader([])
filter_loader.add_directory(str(ROOT / "plugins" / "filter"))


def of(*names, host="gpu1", servers=None):
    """What Ansible says of a host in these groups; `servers`: group to {host: its variables} of the others."""
    servers = servers or {}
    groups = {group: list(hosts) for group, hosts in servers.items()}
    for group in names:
        groups[group] = [host, *groups.get(group, [])]
    known = {name: values for hosts in servers.values() for name, values in hosts.items()}
    return {"inventory_hostname": host, "group_names": list(names), "groups": groups, "hostvars": {host: {}, **known}}


_COMPILED = {}  # the roles' defaults and templates, which Jinja would compile for each rendering: most of its time
MAGIC = ("inventory_hostname", "group_names", "groups", "hostvars", "item")
REQUIRED = {"deepgram_release": "release-260812", "deepgram_api_key": "abc123", **of("node")}


@functools.cache
def written(role):
    """What a role's defaults and vars say, untemplated."""
    loader, folder = DataLoader(), ROOT / "roles" / role
    found = {"omit": "__omit__"}
    if role != "platform":  # every role's dependency, of tables alone
        found.update(written("platform"))
    for part in ("defaults", "vars"):
        for path in [*folder.glob(f"{part}/main.yml"), *sorted(folder.glob(f"{part}/main/*.yml"))]:
            found.update(loader.load_from_file(str(path), trusted_as_template=True))
    return found


def variables(role, **changes):
    """Variables of a role on one host, untemplated; what the test sets is also what the others see of the host."""
    found = {**written(role), **REQUIRED, **changes}
    host, own = found["inventory_hostname"], {name: value for name, value in changes.items() if name not in MAGIC}
    known = found["hostvars"].get(host, {})
    return {**found, "hostvars": {**found["hostvars"], host: {**known, **own}}}


def value(role, name, **changes):
    """One variable of a role, templated."""
    templar = Templar(loader=DataLoader(), variables=variables(role, **changes))
    with compiled.once(_COMPILED):
        return templar.template(trust_as_template("{{ " + name + " }}"))


def render(role, template, **changes):
    """Text of one of the role's templates."""
    path = Path(ROOT / "roles" / role / "templates" / template)
    templar = Templar(loader=DataLoader(), variables=variables(role, **changes))
    templar = templar.copy_with_new_env(searchpath=[str(path.parent)])
    with compiled.once(_COMPILED):
        return templar.template(
            trust_as_template(path.read_text()), escape_backslashes=False, preserve_trailing_newlines=True
        )
