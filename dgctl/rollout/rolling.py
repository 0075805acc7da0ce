"""Carries out a rollout: build, then proxies, then batch after batch of drain, change, verify, undrain."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import count, listed
from dgctl.deployment.deployment import PROXIES
from dgctl.deployment.fleet import DRAINED, FAILED, ROLLOUT, Member, behind_proxies
from dgctl.output.report import FAIL, PASS, REACHABLE, Check, HostState, Outcome, states_of_checks
from dgctl.plan import look
from dgctl.plan.plan import PREFLIGHT, Plan
from dgctl.rollout import floor, rollout
from dgctl.rollout.rollout import Batch, Policy, Rollout
from dgctl.run import outcomes, playbook
from dgctl.run.collector import RunResult
from dgctl.run.session import interrupted
from dgctl.run.work import Work

# Variables that say which products a server has, and checks of a proxy that ask for each of them.
PRODUCTS = ("deepgram_engines", "deepgram_profile")
OF_PRODUCTS = ("transcription.", "health.callers", "upstreams.members_up")
PROVISION, FETCH, DRAIN, UNDRAIN = "provision.yml", "fetch.yml", "drain.yml", "undrain.yml"


class Stopped(Exception):
    """The rollout goes no further; the run says why."""


@dataclass
class Rolling:
    """A rollout on its way.

    `out`: servers that this run or an earlier one keeps from the proxies' requests. `started`: those whose change started.
    `later`: proxies that are verified again when all servers have the products that they are to have.
    """

    work: Work
    plan: Plan
    rollout: Rollout
    members: dict[str, Member]
    policy: Policy
    outcome: Outcome = field(default_factory=Outcome)
    out: set[str] = field(default_factory=set)
    proxies: list[str] = field(default_factory=list)
    started_with: str = ""
    started: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    later: list[str] = field(default_factory=list)
    stopped: bool = False

    def run(self) -> Outcome:
        """Runs everything that may still run; the outcome has every server's end."""
        self.outcome.hosts = {name: HostState() for name in self.plan.hosts}
        self.outcome.log, self.outcome.lowered, self.outcome.brief = self.work.log, self.work.lowered(), True
        self.proxies, self.started_with = in_reach(self.work), self.work.deployment.digest()
        self.out = {name for name, member in self.members.items() if member.drained}
        try:
            self._check_ahead()
            self._build()
            for batch in self.rollout.batches:
                self._batch(batch)
                broken = batch.first and self.failed.intersection(batch.hosts)
                if broken or len(self.failed) > self.policy.max_fail:
                    raise Stopped
            self._verified(self.later)
        except Stopped:
            self.stopped = True
        except DgctlError as error:
            self.stopped, self.outcome.exit_code = True, error.exit_code
            self.outcome.errors += error.problems
        except KeyboardInterrupt:
            self.stopped, self.outcome.exit_code = True, Exit.INTERRUPTED
            self.outcome.errors += interrupted(self.work.session).errors
        self._conclude()
        return self.outcome

    def _check_ahead(self) -> None:
        """Everything that can be known and fetched before the first server is touched."""
        hosts = [name for name in self.plan.changing if self.plan.hosts[name].preflight]
        if hosts:
            self._playbook("preflight.yml", playbook.Part(hosts, {PREFLIGHT: hosts}))
            if self.outcome.errors:
                self.outcome.exit_code = Exit.PREFLIGHT
                raise Stopped
        rolling = [name for batch in self.rollout.batches for name in batch.hosts]
        fetching = [name for name in rolling if self.plan.hosts[name].fetches]
        if fetching:
            self._playbook(FETCH, playbook.Part(fetching, {"Fetch": fetching}))
            if self.failed:
                raise Stopped

    def _build(self) -> None:
        """New servers, what no call notices, and then the proxies, which learn of the servers that work."""
        built, unproven = self._change(self.rollout.build), self._unproven()
        early = self.proxies if self._products_change() else []
        proven = self._verified([*built, *self.rollout.waiting, *(name for name in unproven if name not in early)])
        broken = [name for name in (*self.rollout.build, *self.rollout.waiting) if name not in proven]
        self._hold(self._spared([name for name in broken if name in behind_proxies(self.work.deployment)]))
        if len(self.failed) > self.policy.max_fail:
            raise Stopped
        proxies = self._change(self.rollout.proxies)
        self._give_back([name for name in proven if name in self.out and not self._retained_out(name)])
        self.later = [name for name in early if name in (*proxies, *unproven)]
        self._verified([name for name in proxies if name not in early])
        self._verified(self.later, early=True)

    def _products_change(self) -> bool:
        """Whether servers that are yet to be changed get other products: a proxy that is ready for those has nobody to ask."""
        steps = [step for batch in self.rollout.batches for name in batch.hosts for step in self.plan.hosts[name].steps]
        return any(reason.variable in PRODUCTS for step in steps for reason in step.reasons)

    def _spared(self, broken: list[str]) -> list[str]:
        """Those of `broken` that may be held back; the last that serve are left to the proxies' own judgement, and named."""
        held: list[str] = []
        for name in broken:
            short = self._shortage([*held, name])
            if short:
                fix = f"repair it, then run again: {self.work.session.again()}"
                self.outcome.errors.append(Problem("it does not work, and still gets requests", name, short.value, fix))
            else:
                held.append(name)
        return held

    def _unproven(self) -> list[str]:
        waiting = self.rollout.waiting
        return [name for name in self.plan.unverified if name not in waiting and name not in self.rollout.dependents]

    def _batch(self, batch: Batch) -> None:
        self.work.tell(f"{batch.name}{batch.out}{' first' if batch.out else ''}")
        started = [name for name in batch.hosts if name not in self.failed]
        drained = [*(name for name in batch.drained if name in started), *batch.dependents]
        took = [name for name in drained if name not in self.out]
        self._require_floor([*started, *batch.dependents])
        if not self._drained(took):
            raise Stopped
        proven = self._verified(self._change(started))
        self._hold([name for name in started if name not in proven and name in batch.drained])
        self._give_back([name for name in (*proven, *self._with_engine(batch, proven)) if name in took])
        # What an earlier run left drained may be so for its own sake.
        self._give_back(self._verified([name for name in self._with_engine(batch, proven) if name not in took]))

    def _with_engine(self, batch: Batch, proven: list[str]) -> list[str]:
        """Those of a batch's dependents that have an Engine to ask, now that these are proven."""
        broken = [name for name in batch.hosts if name not in proven]
        needed = floor.needs(self.work.deployment) if broken and batch.dependents else {}
        stranded = floor.dependents(needed, broken)
        return [name for name in batch.dependents if name not in stranded]

    def _require_floor(self, hosts: list[str]) -> None:
        """Ends the rollout where, after what failed before, too few others would serve while these are changed."""
        short = self._shortage(hosts)
        if short:
            self.outcome.errors.append(short)
            self.outcome.exit_code = Exit.HALTED
            raise Stopped

    def _shortage(self, hosts: list[str]) -> Problem | None:
        done = [name for name in self.started if name not in self.failed]
        members = floor.joined(self.members, self.out, [name for name in done if name in self.members])
        down = [name for name in rollout.down(self.plan) if name not in done]
        return floor.shortage(self.work.deployment, hosts, members, [*down, *self.failed])

    def _drained(self, took: list[str]) -> bool:
        """Takes servers out of the proxies; gives those back that could not be drained, and says so."""
        if not took:
            return True
        self.out |= set(took)
        part = drain_part(self.proxies, took, ROLLOUT, "a run changes it")
        # Of one that does not answer nobody learns how many requests it has, and the run is to repair it.
        part.variables["drain_silent"] = [name for name in took if not self.members[name].is_up]
        self._playbook(DRAIN, part)
        bad = any(name in self.failed for name in (*took, *self.proxies))
        if bad:
            self._give_back(took)
        return not bad

    def _change(self, hosts: list[str]) -> list[str]:
        """Runs the roles that the plan names on these servers; returns those on which they were done."""
        from dgctl.rollout.provisioning import part_of, started

        if not hosts:
            return []
        self._require_unmoved()
        self.started |= set(hosts)
        self._playbook(PROVISION, started(self.work, self.plan, part_of(self.plan, self.work, hosts)))
        return [name for name in hosts if self.outcome.hosts[name].state in ("ok", "changed")]

    def _verified(self, hosts: list[str], early: bool = False) -> list[str]:
        """Verifies, and has the servers remember it; returns those that work.

        `early`: of products that servers are yet to get nothing fails, as long as a request for another one passes.
        """
        if not hosts:
            return []
        started = time.monotonic()
        checks = outcomes.verify(self.work, hosts)
        if early and any(check.verdict == PASS and check.check.startswith(OF_PRODUCTS[0]) for check in checks):
            checks = [check for check in checks if check.verdict != FAIL or not check.check.startswith(OF_PRODUCTS)]
        self.outcome.checks = [*(self.outcome.checks or []), *checks]
        for name, state in states_of_checks(hosts, checks).items():
            if state.state != "ok":
                self._fail(name, state.state, state.errors)
        bad = {check.host for check in checks if check.verdict == FAIL}
        proven = [name for name in hosts if name not in bad and any(check.host == name for check in checks)]
        marked = () if early else proven
        look.mark_verified((self.work.deployment.hosts[name], self.plan.fingerprints(name)) for name in marked)
        self.outcome.timings["verify"] = round(self.outcome.timings.get("verify", 0) + time.monotonic() - started, 2)
        return proven

    def _hold(self, hosts: list[str]) -> None:
        """Keeps servers that do not work out of the proxies, until a run has repaired them."""
        proxies = [name for name in self.proxies if name not in self._missing()]
        if hosts and proxies:
            self.out |= set(hosts)
            causes = {name: [error.what for error in self.outcome.hosts[name].errors[:1]] for name in hosts}
            note = "; ".join(f"{name}: {cause[0]}" if cause else name for name, cause in causes.items())
            self._playbook(DRAIN, drain_part(proxies, hosts, FAILED, note, wait=False))

    def _give_back(self, hosts: list[str]) -> None:
        if hosts and self.proxies:
            self._playbook(UNDRAIN, undrain_part(self.proxies, hosts))
            if not self.failed & set(self.proxies):
                self.out -= set(hosts)

    def _playbook(self, name: str, part: playbook.Part) -> RunResult:
        """One run of Ansible; what became of each server is added to the outcome."""
        self._require_unmoved()
        result = outcomes.ran(self.work, name, alone=True, part=part)
        for host, end in result.hosts.items():
            state = self.outcome.hosts.setdefault(host, HostState())
            state.changed += end.changed if name not in (DRAIN, UNDRAIN) else 0
            state.seconds = (state.seconds or 0.0) + end.seconds
            if end.state in ("failed", "unreachable"):
                self._fail(host, end.state, end.errors)
            elif state.changed and state.state == "ok":
                state.state = "changed"
        outcomes.add_moved(self.outcome, self.work, result, part)
        outcomes.add_timings(self.outcome, result)
        if result.broken or result.interrupted:
            self.outcome.errors += [result.broken] if result.broken else interrupted(self.work.session).errors
            self.outcome.exit_code = Exit.BUG if result.broken else Exit.INTERRUPTED
            raise Stopped
        return result

    def _require_unmoved(self) -> None:
        """Ends the rollout where the inventory or its variables are no longer what was planned with, or the lease is lost."""
        self.work.require_lease()
        if self.work.deployment.digest() != self.started_with:
            self.outcome.errors.append(_moved(self.work))
            self.outcome.exit_code = Exit.HALTED
            raise Stopped

    def _fail(self, name: str, state: str, errors: list[Problem]) -> None:
        host = self.outcome.hosts.setdefault(name, HostState())
        host.state, host.errors = state, [*host.errors, *(each for each in errors if each not in host.errors)]
        self.outcome.errors += [each for each in errors if each not in self.outcome.errors]
        self.failed.add(name)

    def _missing(self) -> set[str]:
        return {name for name, host in self.outcome.hosts.items() if host.state == "unreachable"}

    def _retained_out(self, name: str) -> bool:
        return name in self.members and self.members[name].retained_out

    def _conclude(self) -> None:
        """Exit code, states and summary."""
        found, outcome = self.outcome, self.outcome.hosts
        found.timings = {**self.plan.timings, **found.timings}
        undone = [name for name in self.plan.changing if name not in self.started | self.failed]
        for name in undone if self.stopped else []:
            outcome[name].state = "skipped"
        for name in self.out & outcome.keys():
            outcome[name].state = DRAINED if outcome[name].state in ("ok", "changed") else outcome[name].state
        if found.exit_code == Exit.OK and self.failed:
            within = len(self.failed) <= self.policy.max_fail and not self.stopped
            found.exit_code = Exit.SOME_FAILED if within else Exit.HALTED
            if self._missing() == self.failed and not self.stopped:
                found.exit_code = Exit.UNREACHABLE
        found.summary = summary(found, self.out & outcome.keys())
        again = found.exit_code not in (Exit.OK,)
        found.next_command = self.work.session.again() if again else self.work.session.again("status")


def _moved(work: Work) -> Problem:
    """Ansible reads the files again for each step, and would do what nobody has reviewed."""
    what = "the inventory or its variables were changed during the run, so it stopped"
    return Problem(
        what, str(work.deployment.inventory), fix=f"review the change, then run again: {work.session.again()}"
    )


def summary(outcome: Outcome, out: Iterable[str]) -> str:
    states = [host.state for host in (outcome.hosts or {}).values()]
    text = f"{count(len(states), 'server')}: {states.count('changed')} changed, {states.count('ok')} in sync"
    bad = [name for name, host in (outcome.hosts or {}).items() if host.state in ("failed", "unreachable")]
    text += f", {listed(bad)} failed" if bad else ""
    text += f", {states.count('skipped')} not done" if "skipped" in states else ""
    drained = sorted(out)
    text += f"; {listed(drained)} {'gets' if len(drained) == 1 else 'get'} no requests (drained)" if drained else ""
    checks: list[Check] = outcome.checks or []
    if checks:
        bad_checks = sum(check.verdict == FAIL and check.check != REACHABLE for check in checks)
        text += f"; {len(checks) - bad_checks} of {count(len(checks), 'check')} hold"
    return text


def in_reach(work: Work) -> list[str]:
    """The proxies that a run speaks with: those that --limit leaves, or all when it names none."""
    proxies = work.deployment.members(PROXIES)
    return [name for name in proxies if name in work.deployment.targets] or proxies


def drain_part(proxies: list[str], hosts: list[str], reason: str, note: str, wait: bool = True) -> playbook.Part:
    """The run that takes servers out of the proxies, and unless told otherwise waits for their requests to end."""
    plays = {"Take out of the proxies": proxies, "Finish requests": hosts if wait else []}
    names = list(dict.fromkeys([*proxies, *(hosts if wait else [])]))
    return playbook.Part(names, plays, variables={"drain": hosts, "drain_reason": reason, "drain_note": note})


def undrain_part(proxies: list[str], hosts: list[str]) -> playbook.Part:
    return playbook.Part(proxies, {"Give back to the proxies": proxies}, variables={"undrain": hosts})
