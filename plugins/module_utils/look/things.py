"""The kinds of things that roles answer for: how each is recorded, and how compared with what is there."""

import time

from ansible.module_utils.containers import state as containers_state
from ansible.module_utils.deepgram import api_health as deepgram_api_health
from ansible.module_utils.deepgram import components as deepgram_components
from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import network as host_network
from ansible.module_utils.host import record as host_record
from ansible.module_utils.host import units as host_units
from ansible.module_utils.nvidia import container_gpus as nvidia_container_gpus
from ansible.module_utils.nvidia import driver as nvidia_driver
from ansible.module_utils.nvidia import gpu_users as nvidia_gpu_users
from ansible.module_utils.packages import installed as packages_installed
from ansible.module_utils.proxy import serving as proxy_serving

OF_UNITS = ("units", "read_at_start", "read_at_reload")


class Server:
    """What is really there. Each source is asked once for all roles, and slow ones are asked first."""

    def __init__(self, things):
        """things: what roles declare or recorded, one dict by kind for each of them."""
        self.things, self.retained = things, {}
        self.smi = any(one["driver"]["persistence"] for one in self._all("driver")) and nvidia_driver.start()
        units = {unit for kind in OF_UNITS for one in self._all(kind) for unit in one[kind]}
        self.question = host_units.start(units) if units else None
        self.database = packages_installed.start() if self._all("packages") else None
        self.calls = {}

    def call(self):
        """Sends what callers send; while the answers come, all else is compared."""
        for one in self._all("tls"):
            self.calls[one["tls"]["port"]] = proxy_serving.start(one["tls"])
        return self

    def _all(self, kind):
        return [one for one in self.things if one.get(kind)]

    def _once(self, key, function, *arguments):
        if key not in self.retained:
            self.retained[key] = function(*arguments)
        return self.retained[key]

    def packages(self):
        names = {name for one in self._all("packages") for name in one["packages"]}
        return self._once("packages", packages_installed.look_at, names, self.database)

    def units(self):
        return self._once("units", host_units.look_at, self.question)

    def modes(self):
        return self._once("modes", nvidia_driver.modes, self.smi)

    def keepers(self):
        return self._once("keepers", nvidia_gpu_users.keepers)

    def containers(self, engine):
        used = [one["containers"] for one in self._all("containers") if one["containers"]["engine"] == engine]
        names = sorted({name for one in used for name in one["names"]})
        return self._once(engine, containers_state.look_at, engine, names)

    def started(self, name):
        """Seconds since 1970 at which a container started; 0 for one that does not run, None for one that is nobody's."""
        for one in self._all("containers"):
            declared = one["containers"]
            if name in declared["names"]:
                seen = self.containers(declared["engine"])[name]
                runs = isinstance(seen, dict) and seen["state"] == "running"
                return containers_state.moment(seen["started"]) if runs else 0
        return None

    def apis(self):
        """The containers of APIs that somebody declared."""
        return self._named("api")

    def _named(self, desired):
        names = [name for one in self._all("containers") for name in one["containers"]["names"]]
        return [name for name in names if deepgram_components.kind(deepgram_components.component(name)) == desired]

    def engines_started(self):
        """When the last of the Engines here started; None without one, 0 where one does not run."""
        moments = [self.started(name) for name in self._named("engine")]
        return None if not moments else 0 if 0 in moments else max(moments)

    def report(self, path):
        return self._once(path, host_files.read_json, path)

    def urls(self):
        return [url for one in self._all("answers") for url in one["answers"]]

    def answer(self, url):
        return self._once(url, host_network.ask, url)


def record_containers(declared, server):
    seen = server.containers(declared["engine"])
    names = {name: dict(containers_state.record(seen[name]), reads=reads) for name, reads in declared["names"].items()}
    return {"engine": declared["engine"], "names": names}


def compare_containers(recorded, server):
    seen = server.containers(recorded["engine"])
    for name, was in recorded["names"].items():
        yield from containers_state.compare(name, was, seen[name])
        yield from _lost_gpus(recorded["engine"], name, was, seen[name])


def _lost_gpus(engine, name, was, now):
    if isinstance(now, dict) and was.get("gpu") and now["state"] == "running":
        words = nvidia_container_gpus.lost(engine, name, now["pid"])
        if words:
            yield f"container {name}", f"has lost its GPUs: {words}"


def compare_answers(urls, server):
    for url in urls:
        answer = server.answer(url)
        yield from host_network.compare_answer(url, answer)
    yield from _reproaches(urls, server)


def _reproaches(urls, server):
    """Of each API, in the order of the containers, whether it blames itself for what failed while it had no Engine."""
    asked = [url for url in urls if url.endswith("/v1/status")]
    for name, url in zip(server.apis(), asked):
        started = {"api": server.started(name), "engine": server.engines_started()}
        state = deepgram_api_health.reproach(server.answer(url).get("body"), started.get)
        if state and started["api"]:
            yield f"container {name}", f"is {state} of requests that failed before"


def compare_tls(tls, server):
    yield from host_network.compare_certificate(tls)
    if tls["port"] in server.calls:
        yield from proxy_serving.compare(tls, server.calls.pop(tls["port"]), server)


def compare_until(moment, _server):
    if moment <= time.time():
        yield "certificate", f"due for renewal since {host_record.day(moment)}"


def _as_declared(declared, _server):
    return declared


# kind: (what is recorded of it, what differs from the record). Both get the declaration or record, and the server.
KINDS = {
    "files": (
        lambda paths, _: {path: host_files.look_at(path) for path in paths},
        lambda recorded, _: host_files.compare(recorded),
    ),
    "absent": (_as_declared, lambda paths, _: host_files.compare_absent(paths)),
    "large_files": (
        lambda paths, _: {path: host_files.look_at_large(path) for path in paths},
        lambda recorded, _: host_files.compare(recorded, host_files.look_at_large),
    ),
    "packages": (
        lambda names, server: {name: server.packages().get(name, {}) for name in names},
        lambda recorded, server: packages_installed.compare(recorded, server.packages()),
    ),
    "driver": (
        lambda declared, _: nvidia_driver.look_at(declared["persistence"]),
        lambda recorded, server: nvidia_driver.compare(recorded, server.modes),
    ),
    "units": (_as_declared, lambda declared, server: host_units.compare(declared, server.units())),
    "read_at_start": (
        _as_declared,
        lambda declared, server: host_units.compare_reads(declared, server.units(), host_units.started),
    ),
    "read_at_reload": (
        _as_declared,
        lambda declared, server: host_units.compare_reads(declared, server.units(), host_units.reloaded),
    ),
    "containers": (record_containers, compare_containers),
    "answers": (_as_declared, compare_answers),
    # For whoever looks to read, and no thing that could differ.
    "reports": (_as_declared, lambda _, __: ()),
    "tls": (_as_declared, compare_tls),
    "until": (_as_declared, compare_until),
}


def record(declared):
    """What is there of the things that a role declares, by kind."""
    declared = {kind: value for kind, value in declared.items() if value}
    server = Server([declared])
    return {kind: KINDS[kind][0](value, server) for kind, value in declared.items()}


def compare(things, server):
    """[{thing, how}] of what is not as recorded. What cannot be read counts, and never ends the look."""
    drift = []
    for kind, recorded in things.items():
        try:
            drift += [{"thing": thing, "how": how} for thing, how in KINDS[kind][1](recorded, server)]
        except Exception as error:  # whatever it is, it is no reason to call the host right
            drift.append({"thing": kind, "how": f"cannot be compared: {type(error).__name__}: {error}"})
    return drift


def count(things):
    """How many things of each kind."""
    single = {"driver": 1, "tls": 1, "until": 1}
    return {
        kind: single.get(kind) or len(value["names"] if kind == "containers" else value)
        for kind, value in things.items()
    }
