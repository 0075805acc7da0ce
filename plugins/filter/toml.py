"""Filter `to_toml`: a dictionary becomes the text of a TOML file."""

from __future__ import annotations

import tomli_w
import tomllib
from ansible.errors import AnsibleFilterError

DOCUMENTATION = """
name: to_toml
short_description: Renders a dictionary as TOML
description:
  - Keys that are null are left out, and so are tables that held nothing else.
  - At every level plain values come before tables, so that no table header swallows a key of the level above.
  - The text is parsed again and compared, so that what is written is what was meant.
positional: _input
options:
  _input:
    description: The dictionary to render.
    type: dict
    required: true
"""
EXAMPLES = """
- name: Write a file of settings
  ansible.builtin.copy:
    content: "{{ {'server': {'port': 8080}} | to_toml }}"
    dest: /etc/example.toml
    mode: "0644"
"""
RETURN = """
_value:
  description: The TOML text, ending with a newline.
  type: str
"""


def _plain(value, where):
    """Ansible's containers and strings as Python's own, without nulls. Raises on what TOML cannot hold."""
    if isinstance(value, dict):
        retained = {str(key): _plain(item, f"{where}.{key}") for key, item in value.items() if item is not None}
        return {key: item for key, item in retained.items() if not (item == {} and value[key] != {})}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value) if item is not None]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise AnsibleFilterError(
        f"{where} is of type {type(value).__name__}, which TOML cannot hold. "
        "Fix: use a string, number, boolean, list or dictionary."
    )


def to_toml(data):
    """Text of `data` as TOML; `data` must be a dictionary."""
    if not isinstance(data, dict):
        raise AnsibleFilterError(f"to_toml needs a dictionary, not {type(data).__name__}. Fix: pass a dictionary.")
    plain = _plain(data, "settings")
    text = tomli_w.dumps(plain)
    if tomllib.loads(text) != plain:
        raise AnsibleFilterError("the rendered TOML reads back differently. Fix: report the settings used as a bug.")
    return text


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"to_toml": to_toml}
