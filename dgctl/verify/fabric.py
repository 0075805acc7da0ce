"""NVSwitch boards: what is asked of a host that has one, and how its answer reads. Others answer nothing, at no cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dgctl import content
from dgctl.content import drivers

_QUESTION = """
switches=$(for device in /sys/bus/pci/devices/*; do
  id=$(cut -c3- "$device/vendor"):$(cut -c3- "$device/device")
  case $id in
  {bridges}) echo "switch $id" ;;
  {managers}) grep -qsE '{products}' "$device/vpd" && echo "switch $id" ;;
  esac
done)
[ -n "$switches" ] || exit 0
echo "$switches"
echo "unit $(systemctl is-active nvidia-fabricmanager.service)"
echo "manager $(nv-fabricmanager --version 2>&1 | tail -n 1)"
nvidia-smi --query-gpu=pci.bus_id,fabric.state,fabric.status --format=csv,noheader | sed 's/^/gpu /'
"""


@dataclass(frozen=True)
class Fabric:
    """`board`: its name, "" for a host without NVSwitches; `states`: PCI address -> (state, status)."""

    board: str = ""
    has_state: bool = True
    unit: str = ""
    version: str = ""
    states: tuple[tuple[str, str, str], ...] = ()

    def outside(self) -> list[str]:
        """The GPUs that have not joined the fabric, with what nvidia-smi says of them."""
        # Some fields without a value are written in brackets, and these were not, on an H100 without a fabric.
        right = [("Completed", "Success")] if self.has_state else [("Completed", "Success"), ("N/A", "N/A")]
        return [
            f"{bus} {state} {status}"
            for bus, state, status in self.states
            if (state.strip("[]"), status.strip("[]")) not in right
        ]


def question() -> str:
    """The shell command that asks a host."""
    boards = _boards().values()
    managed = [row["managed_by"] for row in boards if "managed_by" in row]
    return _QUESTION.format(
        bridges="|".join(bridge for row in boards for bridge in row.get("bridges", [])),
        managers="|".join(f"{one['vendor']}:*" for one in managed),
        products="|".join(one["vpd"] for one in managed),
    )


def read(lines: list[str]) -> Fabric:
    """What a host answered."""
    reported = [line.split(" ", 1) for line in lines if " " in line]
    ids = {rest for word, rest in reported if word == "switch"}
    row = next((row for row in _boards().values() if ids & set(row.get("bridges", ())) or _manages(row, ids)), None)
    if row is None:
        return Fabric()
    words = dict(reported)
    version = re.search(r"\d+\.\d+(\.\d+)?", words.get("manager", ""))
    gpus = [[cell.strip() for cell in rest.split(",")] for word, rest in reported if word == "gpu"]
    states = tuple((gpu[0], gpu[1], gpu[2]) for gpu in gpus if len(gpu) == 3)
    return Fabric(row["name"], row["fabric_state"], words.get("unit", ""), version[0] if version else "", states)


def _manages(row: dict[str, Any], ids: set[str]) -> bool:
    return "managed_by" in row and any(one.startswith(f"{row['managed_by']['vendor']}:") for one in ids)


def _boards() -> dict[str, dict[str, Any]]:
    return drivers.tables(content.root()).get("_platform_nvswitch", {})
