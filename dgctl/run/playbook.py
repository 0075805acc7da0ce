"""Runs one playbook through ansible-runner: events go in, a result by host comes out."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgctl import content
from dgctl.base import processes, scratch
from dgctl.base.interrupt import Interrupt
from dgctl.deployment.deployment import Deployment
from dgctl.deployment.vault import VaultOptions
from dgctl.output.progress import Progress
from dgctl.run.collector import Collector, RunResult
from dgctl.run.history import Record, folder

FACTS = "facts"


def phases(playbook: str) -> list[str]:
    """The plays of a playbook by name, imported ones in their place."""
    path = content.root() / "playbooks" / playbook
    names = []
    for play in content.read(path):
        imported = play.get("ansible.builtin.import_playbook") or play.get("import_playbook")
        names += phases(imported) if imported else [play.get("name", "")]
    return list(dict.fromkeys(names))


@dataclass
class Run:
    """What a run of a playbook needs.

    `verbosity` > 0 also sends Ansible's own words to stderr. `alone`: the run holds the deployment's lock, so
    what a kill leaves of it may be ended by the next holder. `part`: only these servers and roles; without it
    every target, and every role.
    """

    playbook: str
    deployment: Deployment
    vault: VaultOptions
    record: Record
    progress: Progress
    check: bool = False
    verbosity: int = 0
    alone: bool = False
    diff: bool = False
    part: Part | None = None
    on_event: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True)
class Part:
    """The part of a playbook that is to run: play -> its servers, and what each server is to become.

    `desired`: server -> {roles: role -> desired state, begin: the roles that will run}; roles record it.
    `facts`: server -> what is known of it, as Ansible's own facts would say.
    `variables`: further ones for the playbook, none of them secret.
    """

    hosts: list[str]
    hosts_of_play: dict[str, list[str]]
    desired: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def has(self, play: str) -> bool:
        """Whether a play has something to do; one that is not named decides for itself."""
        return self.hosts_of_play.get(play) != []


def run(job: Run) -> RunResult:
    """Runs `job.playbook` on the deployment's targets."""
    collector = Collector(job, [name for name in phases(job.playbook) if not job.part or job.part.has(name)][-1:])
    with scratch.folder("run") as private, Interrupt() as interrupt:
        _settings(private)
        if job.part:
            _write_part(private, job.part)
        outcome = _runner(job, str(private), collector, interrupt)
        collector.result.interrupted = interrupt.asked
        interrupt.end_children()
        if interrupt.asked and job.alone:
            processes.end_leftovers(folder(job.deployment.inventory))  # what it started after it was interrupted
    return collector.finish(outcome)


def _settings(private: Path) -> None:
    # As arguments, ansible-runner 2.4 drops settings in silence when this file is missing.
    (private / "env").mkdir(mode=0o700)
    settings = {"suppress_output_file": True, "pexpect_timeout": 1}
    (private / "env" / "settings").write_text(json.dumps(settings))


def _write_part(private: Path, part: Part) -> None:
    """Files that Ansible reads: the servers, the extra variables, a server's desired state and facts each."""
    _write_facts(private / FACTS, part.facts)
    (private / "desired").mkdir()
    for name, reported in part.desired.items():
        (private / "desired" / f"{name}.json").write_text(json.dumps(reported))
    (private / "hosts").write_text("\n".join(part.hosts) + "\n")
    plays = {play: ",".join(hosts) if hosts else "all:!all" for play, hosts in part.hosts_of_play.items()}
    extra = {**part.variables, "hosts_of_play": plays, "applied_state_dir": str(private / "desired")}
    (private / "extra.json").write_text(json.dumps(extra))


def _write_facts(folder: Path, facts: dict[str, dict[str, str]]) -> None:
    """Facts that Ansible finds as if it had gathered them; written by its own plugin, because their form is its own."""
    from ansible.plugins.loader import cache_loader

    cache = cache_loader.get("jsonfile", _uri=str(folder))
    for name, reported in facts.items():
        cache.set(name, reported)


def _runner(job: Run, private: str, collector: Collector, interrupt: Interrupt) -> Any:
    import ansible_runner

    words = [*job.vault.arguments(), *(["--check"] if job.check else []), *(["--diff"] if job.diff else [])]
    words += ["--extra-vars", f"@{private}/extra.json"] if job.part else []
    targets = job.part.hosts if job.part else job.deployment.targets
    return ansible_runner.run(
        private_data_dir=private,
        project_dir=os.getcwd(),
        playbook=str(content.root() / "playbooks" / job.playbook),
        inventory=str(job.deployment.inventory.absolute()),
        limit=f"@{private}/hosts" if job.part else job.deployment.limit,
        cmdline=shlex.join(words) or None,
        forks=max(1, min(len(targets), 8 * (os.cpu_count() or 1))),
        fact_cache=f"{private}/{FACTS}",  # ansible-runner has Ansible keep its facts in such a folder anyway
        verbosity=max(0, job.verbosity - 1) or None,
        envvars=_environment(job),
        event_handler=collector.handle,
        cancel_callback=interrupt.cancel,
        suppress_env_files=True,
        quiet=True,
    )


def _environment(job: Run) -> dict[str, str]:
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    utf8 = "utf8" in spoken.lower().replace("-", "")
    return {
        **({} if utf8 else {"LC_ALL": "C.UTF-8"}),  # Ansible refuses to start in another encoding
        **({processes.MARK: str(folder(job.deployment.inventory))} if job.alone else {}),
        "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(content.root() / "plugins/callback"),  # beside ansible-runner's own
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner turns it off unless told
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_NOCOLOR": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
