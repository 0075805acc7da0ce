"""Which servers a lab has: so many of each group of the inventory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """A group of the inventory. `word`: in its servers' names; `option`: of `bin/lab up`; `gpus`: its servers have some."""

    name: str
    word: str
    option: str
    gpus: bool = False


GROUPS = (
    Group("node", "gpu", "nodes", gpus=True),
    Group("engine", "engine", "engines", gpus=True),
    Group("api", "api", "apis"),
    Group("license_proxy", "license", "license-proxies"),
    Group("billing", "billing", "billing"),
    Group("proxy", "proxy", "proxies"),
)
Counts = dict[str, int]  # group -> servers


def counts(asked: dict[str, int | None], present: Counts) -> Counts:
    """How many servers of each group there are to be: what was asked for, else what is there.

    A lab that would have nobody to answer gets one node, unless its API and Engine were asked for apart.
    """
    desired = {group.name: asked.get(group.name) for group in GROUPS}
    found = {name: present.get(name, 0) if count is None else count for name, count in desired.items()}
    if desired["node"] is None and not (found["node"] or found["api"] or found["engine"]):
        found["node"] = 1
    return found


def names(lab: str, suffix: str, desired: Counts) -> dict[str, Group]:
    """Each wanted server's name, with its group: LAB-gpu1, LAB-gpu2, LAB-proxy1 ..."""
    return {
        f"{lab}-{group.word}{number}{suffix}": group
        for group in GROUPS
        for number in range(1, desired.get(group.name, 0) + 1)
    }
