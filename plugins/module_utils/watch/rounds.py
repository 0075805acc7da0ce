"""The watchdog at work: a round every two seconds, what slow questions come to beside it, and what it writes and says."""

import sys
import threading
import time

from ansible.module_utils.host.lease import Runs
from ansible.module_utils.watch import decide, files, proof, remedy, seldom
from ansible.module_utils.watch.decide import Finding
from ansible.module_utils.watch.hook import Hook
from ansible.module_utils.watch.seen import Watch

FAILS = 2  # transcriptions in a row that must fail until that is believed


class Rounds:
    """One node's watchdog. proxies, server: see watch.answer; the server is None where no proxies are."""

    def __init__(self, config, proxies, server):
        self.config, self.proxies, self.server = config, proxies, server
        self.watch, self.runs, self.hook = Watch(config), Runs(config["host"]), Hook(config["hook"])
        self.policy = decide.Policy(**config["policy"])
        self.slow = seldom.Background(lambda: seldom.failures(config), config["seldom_s"], [])
        self.served = seldom.Background(self._transcribe, config["transcription_s"], 0)
        self.done, self.proven, self.running, self.reported = None, None, None, ""
        self.state = self._read(time.monotonic(), time.time())

    def _read(self, now, wall):
        """The state as it was left; what was tried before a boot counts by the clock on the wall."""
        found = files.read_state()
        if isinstance(found, dict) and "tried" in found:
            tries = [at - wall + now for at in found["tried"] if isinstance(at, (int, float))]
            return dict(decide.fresh(), tries=tries)
        state = decide.believed(found)
        if (
            found is not None
            and state == decide.fresh()
            and not (isinstance(found, dict) and found.get("phase") == decide.IN)
        ):
            tell("its state cannot be believed: it begins again, and serves")
        return state

    def _transcribe(self):
        """How many seldom transcriptions failed in a row; only where nothing else is going on."""
        if self.state["phase"] != decide.IN:
            return 0
        self.why = proof.failure(self.config, busy_is_well=True)
        return self.served.value + 1 if self.why else 0

    def frozen(self, wall):
        """Who works on this node, or silenced it; "" for nobody."""
        mark = files.silent(wall)
        if mark:
            return f"silenced: {mark.get('note') or 'maintenance'}"
        drained = any(proxy["state"] == "drained" for proxy in self.proxies.lately(time.monotonic()))
        return self.runs.at_work(wall) or ("it is drained" if drained else "")

    def turn(self):
        """One round: look, decide, act, tell."""
        now, wall = time.monotonic(), time.time()
        frozen = self.frozen(wall)
        found = self._findings(now)
        world = decide.World(tuple(found), frozen, self.proxies.lately(now), self.watch.active, self.done, self.proven)
        before = self.state
        step = decide.decide(before, world, now, self.policy)
        self.state, self.done, self.proven = step.state, None, None
        if step.action:
            self._start(*step.action)
        self._publish(now, wall, frozen)
        for name, text in step.events:
            tell(f"{name}: {text}")
            self.hook.call({"event": name, "text": text, "host": self.config["host"], "state": self.state["phase"]})
        if before["tries"] != self.state["tries"]:
            self._quietly(lambda: files.keep([at - now + wall for at in self.state["tries"]]))

    def _findings(self, now):
        found = self.watch.round(now) + seldom.grave(self.slow.turn(now))
        if self.served.turn(now) >= FAILS:
            name = next(iter(self.config["urls"]))
            found.append(Finding("transcription", f"transcriptions fail: {self.why}", f"restart {name}", 1))
        return found

    def _start(self, verb, finding):
        """Begins a remedy or a proof beside the rounds; one at a time."""
        if self.running and self.running.is_alive():
            return
        work = (lambda: self._remedy(finding)) if verb == "remedy" else self._prove
        self.running = threading.Thread(target=work, daemon=True)
        self.running.start()

    def _remedy(self, finding):
        done = attempt(lambda: remedy.carry_out(finding.remedy, self.config, lambda: self.frozen(time.time())))
        self.served.value, self.slow.again = 0, 0.0
        self.done = done

    def _prove(self):
        self.proven = attempt(lambda: proof.failure(self.config))

    def _publish(self, now, wall, frozen):
        """For the proxies, and for whoever asks on this server: status, the exporter, a person."""
        out, since = decide.is_out(self.state), wall - (now - self.state["since"])
        reason = decide.reported(self.state)
        if self.server:
            self.server.answer = {"out": out, "reason": reason[:200], "since": int(since) if out else None}
        document = {
            "at": int(wall),
            "phase": self.state["phase"],
            "out": out,
            "since": int(since) if out else None,
            "reason": reason,
            "note": self.state["note"],
            "frozen": frozen,
            "tries": len(self.state["tries"]),
            "healed": self.state["healed"],
            "warnings": seldom.warnings(self.slow.value),
            "state": self.state,
        }
        self._quietly(lambda: files.write_state(document))

    def _quietly(self, write):
        """A disk that cannot be written keeps nobody from serving; it is said once."""
        try:
            write()
            self.reported = ""
        except OSError as error:
            if str(error) != self.reported:
                self.reported = str(error)
                tell(f"cannot write its state: {error}; it goes on without")


def attempt(work):
    """What a piece of work comes to; whatever breaks in it is a failure in words."""
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def tell(text):
    print(text, flush=True)


def forever(rounds, interval_s):
    """A round that breaks is said once, and the next one comes."""
    reported = ""
    while True:
        started = time.monotonic()
        try:
            rounds.turn()
            reported = ""
        except Exception as error:
            if str(error) != reported:
                reported = str(error)
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        time.sleep(max(0.1, interval_s - (time.monotonic() - started)))
