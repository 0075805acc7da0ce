"""What the watchdog sees every round: do Engines and APIs answer, has an API its Engine, have containers their GPUs.

A question to this server's own ports costs a millisecond. A container is asked about every few seconds, and whether nvidia-smi
works in it only where its device nodes cannot be opened (see nvidia.container_gpus).
"""

import json
import time

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram import api_health
from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.doctor.engine import ENGINES, Silent
from ansible.module_utils.doctor.host import Programs
from ansible.module_utils.host import network as host_network
from ansible.module_utils.host.parallel import in_parallel
from ansible.module_utils.nvidia import container_gpus
from ansible.module_utils.watch.decide import Finding

LATE = "timed out"
HANGS, LOSES, LONELY, BITTER = 2, 2, 5, 5  # rounds in a row until each is believed
CONTAINERS_S = {"docker": 4, "podman": 20}  # Podman is a program to start, and not a socket to ask
GPU_S, DOUBT_S = 4, 60
LIMIT_S = 5
TITLES = {"engine": "the Engine", "api": "the API", "license-proxy": "the License Proxy", "billing": "Billing"}


def title(component):
    """`the Engine`, or of several `the Engine deepgram-engine-a`."""
    own = TITLES[kind(component)]
    return own if component == kind(component) else f"{own} deepgram-{component}"


class Watch:
    """What is remembered from round to round."""

    def __init__(self, config):
        self.config, self.urls = config, config["urls"]
        self.containers, self.asked_at = {}, 0.0
        self.answered = {}  # component -> when the container started that answered
        self.gpus = {}  # component -> (when to ask again, what nvidia-smi said in it)
        self.active = None

    def round(self, now):
        """The findings of this moment, those of Engines first; `now` is of a clock that nobody sets."""
        self._look_at_containers(now)
        answers = self._answers()
        self.active = requests(answers)
        found = [*self._hung(answers), *self._blind(now), *self._lonely(answers), *self._bitter(answers)]
        return sorted(found, key=lambda one: one.name.split(" ")[0].split("-")[0] == "api")

    def _look_at_containers(self, now):
        if self.asked_at and now - self.asked_at < CONTAINERS_S[self.config["engine"]]:
            return
        kind_of = ENGINES[self.config["engine"]]
        engine = kind_of(Programs(kind_of.commands(False)))
        for component in self.urls:
            try:
                self.containers[component] = engine.container(component)
            except Silent:
                self.containers[component] = None  # whoever cannot be asked about is not judged
        self.asked_at = now

    def _answers(self):
        """Component -> what it says: {status, text} or {why}; of an API also `engine`, what it says of its Engine."""
        asked = dict(self.urls)
        asked.update({f"{name} engine": f"{url}/engine" for name, url in self.urls.items() if kind(name) == "api"})
        reported = in_parallel(
            [lambda url=url: host_network.page(url) for url in asked.values()], LIMIT_S, lambda _: {"why": LATE}
        )
        return dict(zip(asked, reported))

    def _started(self, component):
        """When the running container of a component started, 0 where it does not run or nobody says."""
        found = self.containers.get(component)
        return (moment(found["started"]) or 0) if found and found["running"] else 0

    def _hung(self, answers):
        """Who takes connections and says nothing, though it answered since its start, or has had time enough to load."""
        for component in self.urls:
            started, why = self._started(component), answers[component].get("why")
            if why is None:
                self.answered[component] = started
            elif LATE in why and started:
                loaded = self.answered.get(component) == started or time.time() - started > self.config["start_s"]
                if loaded:
                    seen = f"{title(component)} hangs: it takes connections and does not answer"
                    yield Finding(f"{component} hangs", seen, f"kill {component}", HANGS, False)

    def _blind(self, now):
        """Whose container has lost the GPUs that it was made with."""
        for component, container in self.containers.items():
            if not (container and container["running"] and container["gpu"] and container["pid"]):
                self.gpus.pop(component, None)
                continue
            again, pid, reported = self.gpus.get(component, (0, 0, ""))
            if now >= again or pid != container["pid"]:
                started = time.monotonic()
                reported = container_gpus.lost(self.config["engine"], f"deepgram-{component}", container["pid"])
                dear = not reported and time.monotonic() - started > 0.2  # nvidia-smi was asked, and works
                self.gpus[component] = (now + (DOUBT_S if dear else GPU_S), container["pid"], reported)
            if reported:
                seen = f"{title(component)} has lost its GPU: {reported}"
                yield Finding(f"{component} gpu", seen, f"restart {component}", LOSES)

    def _lonely(self, answers):
        """Which API says of itself that no Engine answers it."""
        for component in self.urls:
            reported = document(answers.get(f"{component} engine"))
            connected = reported.get("engine_connection_status")
            if connected and connected != "Connected":
                seen = f"{title(component)} has no Engine (engine_connection_status: {connected})"
                yield Finding(f"{component} without engine", seen, "", LONELY)

    def _bitter(self, answers):
        """Which API has its Engines, and says of itself that it failed, of what was before one of those started."""
        for component in (one for one in self.urls if kind(one) == "api"):
            engines = [self._started(one) for one in self._engines_of(component)]
            if not engines or not all(engines):
                continue
            started = {"api": self._started(component), "engine": max(engines)}
            linked = document(answers.get(f"{component} engine")).get("engine_connection_status") == "Connected"
            state = api_health.reproach(document(answers[component]), started.get) if linked and started["api"] else ""
            if state:
                seen = f"{title(component)} calls itself {state} for what failed before its Engine started"
                yield Finding(f"{component} health", seen, f"restart {component}", BITTER)

    def _engines_of(self, api):
        """The Engines of this server that an API asks; all of them where nobody said which."""
        there = [one for one in self.urls if kind(one) == "engine"]
        named = (self.config.get("engines") or {}).get(api) or []
        return [one for one in there if one in named] or there


def document(answer):
    """The JSON object that somebody answered with; {} for anything else."""
    try:
        found = json.loads((answer or {}).get("text") or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def requests(answers):
    """How many requests the APIs here have; None where not all of them say."""
    counts = [
        api_health.active(document(reported))
        for name, reported in answers.items()
        if kind(name) == "api" and " " not in name
    ]
    return None if not counts or None in counts else sum(counts)
