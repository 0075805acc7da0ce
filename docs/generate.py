"""Writes the reference pages from the source: `python docs/generate.py`. A test fails when a page is not current."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

# In the order in which a node is built.
ROLES = (
    "preflight",
    "nvidia_driver",
    "docker",
    "podman",
    "nvidia_container_toolkit",
    "deepgram_models",
    "deepgram",
    "nginx_proxy",
    "host_firewall",
    "billing",
    "license_proxy",
    "node_watch",
    "host_metrics",
    "monitoring",
)
VARIABLES = """\
# Variables

Set them in `group_vars/`, `host_vars/` or the inventory. One table a role. `dgctl validate` refuses a value of another form,
and a null or an empty text where it means nothing; the same as JSON Schema, for an editor that completes and checks as you type:
[inventory.schema.json](inventory.schema.json). Where a form is documented outside (NGINX, compose, systemd ...), that file's
`$comment` names it.
"""
NOTE = "<!-- Written by docs/generate.py: change the source, not this page. -->\n\n"


def variables() -> str:
    """The page of all public variables, a table a role."""
    from docs.tables import role_pages

    page = [NOTE + VARIABLES]
    for role in ROLES:
        about = role_pages.text(role_pages.specification(role).get("short_description", ""))
        page.append(f"\n## {role}\n\n{about}\n\n{role_pages.variables(role)}")
    return "".join(page)


def json_schema() -> str:
    """The variables as JSON Schema, for editors."""
    from dgctl.content.schema.document import document

    return json.dumps(document(PROJECT), indent=1, ensure_ascii=False) + "\n"


def exit_codes() -> str:
    """The page of exit codes."""
    from dgctl.base.errors import MEANING

    rows = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANING.items())
    return (
        NOTE + "# Exit codes\n\nThey come from what happened on the hosts, and are the same for every verb.\n\n"
        "| code | meaning |\n|---|---|\n" + rows
    )


def _written_by(module: str) -> Callable[[], str]:
    """The page that a file of docs/tables/ writes."""

    def page() -> str:
        return NOTE + importlib.import_module(f"docs.tables.{module}").page()

    return page


def architecture() -> str:
    """The page of the architecture, written by hand, with the picture of the rooms in it."""
    return str(importlib.import_module("docs.tables.rooms").page())


PAGES = {
    "reference/doctor.md": _written_by("doctor"),
    "reference/variables.md": variables,
    "reference/inventory.schema.json": json_schema,
    "reference/exit-codes.md": exit_codes,
    "reference/gpus.md": _written_by("gpus"),
    "reference/systems.md": _written_by("system_page"),
    "reference/log-lines.md": _written_by("log_lines"),
    "reference/refusals.md": _written_by("refusals"),
    "reference/attacks.md": _written_by("attacks"),
    "reference/alerts.md": _written_by("alerts"),
    "architecture.md": architecture,
    "reference/coverage.md": _written_by("coverage"),
}


def readmes() -> dict[str, str]:
    """The README.md of each role."""
    from docs.tables import role_pages

    return {"platform": role_pages.platform(), **{role: role_pages.readme(role) for role in ROLES}}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (PROJECT / "docs" / name).write_text(page())
        print(f"docs/{name}")
    for role, page in readmes().items():
        (PROJECT / "roles" / role / "README.md").write_text(page)
        print(f"roles/{role}/README.md")
