"""Which variable names mean something, and the nearest right name for one that does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from dgctl.base.words import listed

# Names that Ansible reads from variables without any plugin declaring them.
_UNDECLARED = frozenset({"ansible_group_priority", "ansible_network_os", "ansible_connection_user"})
_PATTERNS = re.compile(r"ansible_[a-z0-9_]+_interpreter$")
_PLUGINS = (
    ("connection", "ssh"),
    ("connection", "local"),
    ("become", "sudo"),
    ("become", "su"),
    ("shell", "sh"),
)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name most like `name`, or nothing when none is alike."""
    found = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to do about a name that is not among the known ones."""
    names = list(known)
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"name one of: {listed(names)}"


def alike(name: str, known: Iterable[str], cutoff: float = 0.86) -> str:
    """A known name of which `name` must be a slip of the keys (`ngnix_proxy_port`), or nothing."""
    best = nearest(name, known, cutoff)
    return best if best and SequenceMatcher(None, name, best).ratio() < 1 else ""


def common_names() -> set[str]:
    """The variables of connections that Ansible knows without any plugin: ansible_host, ansible_user ..."""
    from ansible import constants

    names = {name for names in constants.MAGIC_VARIABLE_MAPPING.values() for name in names}
    return names | constants.COMMON_CONNECTION_VARS | _UNDECLARED


def ansible_names(connections: Iterable[str] = ()) -> set[str]:
    """The ansible_* variables, from the documentation that Ansible's plugins carry.

    `connections`: connection plugins that an inventory names besides ssh and local.
    """
    from ansible import constants
    from ansible.plugins import loader

    names = common_names()
    definitions = [constants.config.get_configuration_definitions()]
    for kind, plugin in (*_PLUGINS, *(("connection", name) for name in connections)):
        getattr(loader, f"{kind}_loader").get(plugin, class_only=True)
        definitions.append(constants.config.get_configuration_definitions(kind, plugin))
    for options in definitions:
        for option in options.values():
            names |= {entry["name"] for entry in option.get("vars") or ()}
    return {name for name in names if name.startswith("ansible_")}


def is_ansible(name: str, known: set[str]) -> bool:
    """Whether Ansible itself gives `name` a meaning."""
    return name in known or bool(_PATTERNS.match(name))
