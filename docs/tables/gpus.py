"""The page of GPUs, from the tables of role platform and preflight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgctl import content
from docs.tables.markdown import table

PROJECT = Path(__file__).resolve().parents[2]
HEAD = """# GPUs, drivers and boards

What the tables of `roles/platform/vars/main/` say, with dates and sources there. `dgctl validate` refuses what the inventory
alone shows to be impossible, `dgctl preflight` what the server's own devices show; both name the nearest that works. A GPU that
is not here may be described in `preflight_gpus_extra`; its generation follows from its compute capability.

`nvidia_driver_kernel_module: auto` takes the open kernel module where it drives every GPU of the host, else the proprietary one.
"""
MATRIX = """
## GPU and driver branch

Which kernel module `auto` installs. **Bold**: applied and verified on a simulated server by `tests/scenarios`
(or refused there before anything was changed); the others are decided by the same tables, and tested without a server. no:
refused, no kernel module of this branch drives it. Hosts with several kinds of GPUs get what drives all of them.

"""


def _read(path: str) -> dict[str, Any]:
    return content.read(PROJECT / "roles" / path)


def profiles() -> list[str]:
    """What deepgram_profile may be: the tables know more than this version serves."""
    specs = _read("deepgram/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return list(specs["deepgram_profile"]["choices"])


def page() -> str:
    """The whole page."""
    from dgctl import content
    from dgctl.content import drivers

    tables = drivers.tables(content.root())
    rules = drivers.rules("2026-11")  # the page says when support ends, and not whether it has
    gpus = tables["_platform_gpus"]
    return (
        HEAD
        + "\n## GPUs\n\n"
        + _gpus(gpus, rules)
        + MATRIX
        + _matrix(gpus, rules)
        + _branches(tables)
        + _boards(tables)
    )


def _gpus(gpus: dict[str, dict[str, Any]], rules: Any) -> str:
    rows = []
    for pci_id, row in gpus.items():
        rule = rules.rule(row)
        bounds = [f"from {rule['first']}"] if rule["first"] else []
        bounds += [f"to {rule['last']}"] if rule["last"] < 9999 else []
        modules, profiles = " or ".join(rule["modules"]), _profiles(pci_id, row, rules)
        what = [row["name"], f"`{pci_id}`", row["generation"], str(row["memory_mib"]), row["compute_capability"]]
        rows.append([*what, modules, " ".join(bounds) or "all", row.get("nvswitch", ""), profiles])
    head = [
        "GPU",
        "PCI id",
        "generation",
        "MiB",
        "capability",
        "kernel module",
        "branches",
        "NVSwitch board",
        "profiles",
    ]
    return table(head, rows)


def _profiles(pci_id: str, row: dict[str, Any], rules: Any) -> str:
    """Profiles that one GPU of this kind is enough for by itself; how many are needed is the preflight's business."""
    table = _read("platform/vars/main/profiles.yml")["_platform_profiles"]
    number = rules.number
    fitting = [
        name
        for name in profiles()
        for needs in [table[name]["minimums"]]
        if row["memory_mib"] >= needs["gpu_memory_mb"]
        and number(row["compute_capability"]) >= number(needs["gpu_compute_capability"])
        and pci_id not in table[name].get("excluded", [])
    ]
    return ", ".join(fitting) or "none"


def _matrix(gpus: dict[str, dict[str, Any]], rules: Any) -> str:
    from tests.scenarios.support.boards import APPLIED

    def cell(pci_id: str, branch: str) -> str:
        chosen = rules.chosen(branch, "auto", [gpus[pci_id]]) or "no"
        return f"**{chosen}**" if (pci_id, branch) in APPLIED else chosen

    rows = [[row["name"], *(cell(pci_id, branch) for branch in rules.branches)] for pci_id, row in gpus.items()]
    return table(["GPU", *rules.branches], rows)


def _branches(tables: dict[str, Any]) -> str:
    rows = [
        [
            branch, row.get("designation", "not known"), row.get("ends", "not known"), row.get("cuda", "not known"),
            ", ".join(row["modules"]), _systems(branch, "nvidia"), _systems(branch, "distribution"),
        ]
        for branch, row in tables["_platform_branches"].items()
    ]  # fmt: skip
    head = ["branch", "kind", "support ends", "CUDA", "kernel modules", "NVIDIA's repository for", "own packages of"]
    return (
        "\n## Driver branches\n\nA branch past its end is said, and not refused. What a Deepgram release needs at least is in "
        "`dgctl/content/releases.yml`.\n\n" + table(head, rows)
    )


def _systems(branch: str, source: str) -> str:
    """The systems that have a branch from this source."""
    systems = _read("platform/vars/main/systems.yml")["_platform_systems"].values()
    having = [row["name"] for row in systems if branch in row["driver"].get(source, {}).get("branches", [])]
    return ", ".join(name.partition(" (")[0] for name in having)


def _boards(tables: dict[str, Any]) -> str:
    names = tables["_platform_nvswitch_packages"]["nvidia"]["apt"]
    rows = []
    for key, row in tables["_platform_nvswitch"].items():
        reported = ", ".join(f"`{one}`" for one in row.get("bridges", []))
        reported = reported or "a function of vendor `{vendor}` whose product data says `{vpd}`".format(
            **row["managed_by"]
        )
        packages = ", ".join(f"`{names[word][0]['name']}`" for word in row["needs"])
        rows.append([key, row["name"], reported, packages, "Completed, Success" if row["fabric_state"] else "not told"])
    return (
        "\n## NVSwitch boards\n\nTold by the host's own devices. Fabric Manager is installed at exactly the driver's version, "
        "held, started, and proved: its unit, its version, and what nvidia-smi says of every GPU.\n\n"
        + table(["board", "name", "told by", "packages (NVIDIA's APT repository, 580 and newer)", "fabric.state"], rows)
    )
