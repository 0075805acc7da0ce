"""What `upgrade --driver` asks for: a branch's newest version or an exact one, that every server can install."""

from __future__ import annotations

import re
from typing import Any

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import listed
from dgctl.deployment.deployment import WITH_GPU, Deployment
from dgctl.run import playbook
from dgctl.run.work import Work

PLAYBOOK = "driver_offers.yml"
PLAY = "Driver versions"
BRANCH, VERSION = "nvidia_driver_branch", "nvidia_driver_version"
_DRIVER = re.compile(r"(\d{3})((?:\.\d+){0,2})")

Offers = dict[str, dict[str, Any]]


def parse(text: str) -> tuple[str, str]:
    """(branch, exact version or "") of `--driver 595` or `--driver 580.178.04`; raises DgctlError (exit 2)."""
    found = _DRIVER.fullmatch(text)
    if not found:
        fix = "give a branch, such as 595, for its newest version; or a version, such as 580.178.04"
        raise DgctlError(Problem("this is no NVIDIA driver", "--driver", text, fix), Exit.USAGE)
    return found[1], text if found[2] else ""


def servers(deployment: Deployment) -> list[str]:
    """The targets that have the driver."""
    return [name for name in deployment.members(*WITH_GPU) if name in deployment.targets]


def ask(work: Work, hosts: list[str]) -> Offers:
    """Server -> {driver_offers, driver_installed}, by the branch that the inventory has now.

    Raises DgctlError (exit 7 or 4) for a server that could not be asked.
    """
    found: Offers = {}

    def hear(event: dict[str, Any]) -> None:
        result = (event.get("event_data") or {}).get("res") or {}
        if event["event"] == "runner_on_ok" and "driver_offers" in result:
            found[event["event_data"]["host"]] = result

    with work.progress(playbook.phases(PLAYBOOK), hosts) as shown:
        job = playbook.Run(PLAYBOOK, work.deployment, work.vault, work.session.record, shown)
        job.alone, job.on_event, job.part = True, hear, playbook.Part(hosts, {PLAY: hosts})
        ended = playbook.run(job)
    problems = [problem for host in ended.hosts.values() for problem in host.errors]
    if problems:
        missing = all(host.state != "failed" for host in ended.hosts.values())
        raise DgctlError(problems, Exit.UNREACHABLE if missing else Exit.PREFLIGHT)
    return found


def settled(offers: Offers, branch: str, version: str) -> str:
    """The version that all servers are to have; "" where none of them has the driver's source yet.

    Raises DgctlError (exit 4) where a server cannot have it: what it could have is said.
    """
    known = {name: reported["driver_offers"] for name, reported in offers.items() if reported["driver_offers"]}
    of_branch = {name: [one for one in has if one.split(".")[0] == branch] for name, has in known.items()}
    common = set.intersection(*(set(has) for has in of_branch.values())) if known else set()
    if not known or version in common:
        return version
    if common and not version:
        return max(common, key=_number)
    lacking = [name for name, has in of_branch.items() if (version or branch) not in {*has, *_branches(has)}]
    shown = listed(_nearest_first({one for name in lacking or known for one in known[name]}, branch))
    what = f"the package sources of {listed(lacking)} lack driver {version or branch}"
    if not lacking:
        what = f"no version of driver {branch} is in the package sources of all of {listed(list(known))}"
    fix = f"they have {shown}: choose one of these, or bring the repository (nvidia_driver_repository_url) up to date"
    raise DgctlError(Problem(what, (lacking or list(known))[0], version or branch, fix), Exit.PREFLIGHT)


def before(offers: Offers) -> str:
    """The versions that servers have now, for the way back: "" where none has one."""
    return listed(
        sorted(
            {reported["driver_installed"] for reported in offers.values() if reported["driver_installed"]}, key=_number
        )
    )


def _branches(versions: list[str]) -> set[str]:
    return {version.split(".")[0] for version in versions}


def _nearest_first(versions: set[str], branch: str) -> list[str]:
    """The newest first, and those of the branch that was asked for before all others."""
    return sorted(versions, key=lambda one: (one.split(".")[0] == branch, _number(one)), reverse=True)


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
