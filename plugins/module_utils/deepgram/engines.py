"""How the Deepgram containers are run: as a compose project of Docker, or as Quadlet units of Podman."""

from __future__ import annotations

import os
import re
import time

from ansible.module_utils.deepgram import api_health as deepgram_api_health
from ansible.module_utils.deepgram import components as deepgram_components
from ansible.module_utils.deepgram.containers import CommandFailed, inspect, last_words, run
from ansible.module_utils.deepgram.hung import hung
from ansible.module_utils.host import network as host_network
from ansible.module_utils.host.systemd import properties
from ansible.module_utils.nvidia import container_gpus as nvidia_container_gpus

COMPONENTS = ("engine", "api")
# A server with several has engine-NAME and api-GROUP.
COMPONENT = re.compile(r"deepgram-((?:engine|api)(?:-[a-z0-9-]+)?|license-proxy|billing)$")
START_S = 300  # beyond the time that the old containers may take to stop
UNITS = "/etc/systemd/system"
QUADLETS = "/etc/containers/systemd"
NETWORK = "deepgram"


def newer(paths, started):
    """Whether a file was written after a container started. A date in the future says nothing."""
    now = time.time()
    times = [os.stat(path).st_mtime for path in paths if os.path.exists(path)]
    return any(started < moment <= now for moment in times)


def stopped(containers):
    return [name for name, found in containers.items() if not (found and found["running"])]


def stale(files, containers):
    """Components that run on something older than their files."""
    running = [name for name in containers if name not in stopped(containers)]
    return [name for name in running if newer(files.get(name, []), containers[name]["started"] or 0)]


def blind(engine, containers):
    """Components whose container was given GPUs and has lost them, though it runs."""
    asking = [name for name in containers if name not in stopped(containers) and containers[name].get("gpu")]
    return [name for name in asking if nvidia_container_gpus.lost(engine, f"deepgram-{name}", containers[name]["pid"])]


def reproached(urls, containers, asks):
    """The APIs that blame themselves for what failed while they had no Engine. `asks`: API -> the Engines beside it."""
    found = []
    for name in [name for name in containers if is_api(name)]:
        around = [name, *asks.get(name, [one for one in containers if not is_api(one)])]
        if set(stopped({one: containers.get(one) for one in around})):
            continue
        started = {"api": containers[name]["started"] or 0}
        engines = [containers[one]["started"] or 0 for one in around[1:]]
        if engines:
            started["engine"] = max(engines)
        reported = host_network.ask(urls[name]).get("body")  # with whatever HTTP status: nobody says which one it is
        if deepgram_api_health.reproach(reported, started.get):
            found.append(name)
    return found


def is_api(component):
    return deepgram_components.kind(component) == "api"


def is_alone(components):
    """Whether these are of a project that has one component, which is nothing to Engines and APIs."""
    return bool(set(components) & set(deepgram_components.ALONE))


def bereft(due, containers, asks):
    """The APIs whose Engines are all to go: they stop before them. One that keeps an Engine serves on."""
    apis = [name for name in containers if is_api(name) and containers[name]]
    own = {name: asks.get(name, [one for one in containers if not is_api(one)]) for name in apis}
    return [name for name in apis if own[name] and set(own[name]) <= set(due)]


def installed(engine):
    """The components that have a container in an engine, running or not."""
    out = run([engine, "ps", "--all", "--format", "{{.Names}}"], check=False)[1]
    return [found[1] for found in map(COMPONENT.match, out.split()) if found]


def strangers(containers):
    """Components that run as something else than their units of systemd would start."""
    return [name for name, found in containers.items() if found and found["running"] and not _by_its_unit(name, found)]


def _by_its_unit(name, container):
    seen = properties(f"deepgram-{name}.service", "ActiveState", "ExecStart")
    if seen.get("ActiveState") in ("inactive", "failed"):
        return False
    desired = re.search(r"argv\[\]=(.*?) ; ignore_errors=", seen.get("ExecStart", ""))
    # systemd puts a variable's value in when it starts the command, so what holds one cannot be compared. The order
    # says nothing: Quadlet writes a unit's options in another one each time that it makes the unit.
    return (
        not desired or "$" in desired[1] or sorted(desired[1].split()) == sorted(" ".join(container["command"]).split())
    )


def unread(unit):
    """Whether systemd lacks a unit, or knows it as it was before its file changed."""
    seen = properties(unit, "LoadState", "NeedDaemonReload")
    return (seen.get("LoadState"), seen.get("NeedDaemonReload")) != ("loaded", "no")


def _there(engine, names):
    """The running containers of these components."""
    found = {name: inspect(engine, f"deepgram-{name}") for name in names}
    return {name: seen for name, seen in found.items() if seen and seen["running"]}


def remove(*paths):
    """Removes the files that are there, in this order."""
    for path in paths:
        if os.path.lexists(path):
            os.unlink(path)


class Docker:
    """The compose project in a directory."""

    up = ("up", "--detach", "--no-build", "--pull", "never")

    def __init__(self, params, check_mode):
        self.files, self.urls, self.check_mode = params["files"], params["urls"], check_mode
        self.asks = params.get("asks") or {}
        self.unit = params.get("unit", "deepgram.service")
        self.project = os.path.join(params["directory"], "compose.yaml")
        self.compose = ["docker", "compose", "--project-directory", params["directory"]]
        self.components, self.hung_s = params.get("components", COMPONENTS), params.get("hung_stop_s", 0)
        self.stop_timeout = params["stop_timeout_s"]
        self.timeout = 2 * self.stop_timeout + START_S

    def due(self, containers):
        """Components that compose would recreate or restart, and those on old files, which compose does not see."""
        if not any(containers.values()):
            return set(containers)  # also in check mode on a host without Docker
        # Not by `config --hash`: Compose 2.26 labels containers with another hash than it prints there.
        _, out, err = run([*self.compose, "--dry-run", "--ansi=never", *self.up], check=not self.check_mode)
        acts = re.findall(r"Container (?:\w+_)?deepgram-([\w-]+) +(\w+)", out + err)
        redefined = {name for name, act in acts if name in containers and act != "Running"}
        return {*stopped(containers), *self._forced(containers), *redefined}

    def _forced(self, containers):
        """Components that compose would take for unchanged."""
        return {
            *stale(self.files, containers),
            *blind("docker", containers),
            *reproached(self.urls, containers, self.asks),
        }

    def restart(self, due, containers):
        """Has compose bring everything up; forces only what it would leave alone."""
        first = bereft(due, containers, self.asks)
        self._kill_hung([name for name in containers if name in due or name in first], containers)
        if first:
            run([*self.compose, "stop", *first], timeout=self.timeout)
        forced = sorted(self._forced(containers))
        if forced:
            # Not with --no-deps: Compose 2.26 leaves depends_on out of the definition then, so that the next `up`
            # makes the API a second time.
            run([*self.compose, *self.up, "--force-recreate", *forced], timeout=self.timeout)
        run([*self.compose, *self.up], timeout=self.timeout)

    def _kill_hung(self, names, containers):
        for name in hung(self.urls, list(names), containers, self.hung_s):
            run(["docker", "rm", "--force", f"deepgram-{name}"])

    def keep(self):
        """Has systemd start the containers at boot, and stop them with patience when the server goes down.

        True when that was needed, or would be.
        """
        seen = properties(self.unit, "ActiveState", "UnitFileState")
        desired = {"ActiveState": "active", "UnitFileState": "enabled"}
        stale = unread(self.unit)
        if not self.check_mode and stale:
            run(["systemctl", "daemon-reload"])
        if not self.check_mode and seen != desired:
            run(["systemctl", "enable", "--now", self.unit], timeout=self.timeout)
        return seen != desired or stale

    def drop(self, name):
        """Takes away the container of a part that is not to run here, when its requests are done."""
        if hung(self.urls, [name], _there("docker", [name]), self.hung_s):
            run(["docker", "kill", f"deepgram-{name}"], check=False)  # it may just have died
        run(["docker", "stop", "-t", str(self.stop_timeout), f"deepgram-{name}"], timeout=self.timeout)
        run(["docker", "rm", "--force", f"deepgram-{name}"])

    def there(self):
        """Does this server run Deepgram this way, or did so until a move that was cut off?"""
        return os.path.exists(self.project)

    def leave(self):
        """Stops the containers when their requests are done, and removes them. What `there` sees goes last."""
        self._kill_hung(self.components, _there("docker", self.components))
        unit_file = os.path.join(UNITS, self.unit)
        if os.path.exists(unit_file):
            run(["systemctl", "disable", "--now", self.unit], timeout=self.timeout)
        if os.path.exists("/var/run/docker.sock"):
            run([*self.compose, "down"], timeout=self.timeout)
        remove(unit_file, self.project)


class Podman:
    """The Quadlet units. Their files are among those that a container reads at its start."""

    def __init__(self, params, check_mode):
        self.files, self.urls = params["files"], params["urls"]
        self.asks = params.get("asks") or {}
        self.components, self.hung_s = params.get("components", COMPONENTS), params.get("hung_stop_s", 0)
        self.timeout = 2 * params["stop_timeout_s"] + START_S

    def due(self, containers):
        return {
            *stopped(containers),
            *stale(self.files, containers),
            *blind("podman", containers),
            *reproached(self.urls, containers, self.asks),
            *strangers(containers),
        }

    def _unread(self):
        return any(unread(f"deepgram-{name}.service") for name in self.files)

    def restart(self, due, containers):
        """Restarts in one transaction: the order in the units stops the API first and starts it last."""
        if self._unread():
            run(["systemctl", "daemon-reload"])
        if self._unread():
            reported = run(["/usr/libexec/podman/quadlet", "-dryrun"], check=False)[2]
            raise CommandFailed(f"Quadlet makes no unit of the files in {QUADLETS}: {last_words(reported, 3)}")
        if (
            os.path.exists(f"{QUADLETS}/{NETWORK}.network")
            and run(["podman", "network", "exists", NETWORK], check=False)[0]
        ):
            run(["systemctl", "restart", f"{NETWORK}-network.service"])  # its unit counts as done since the boot
        names = [name for name in containers if name in due or name in bereft(due, containers, self.asks)]
        self._kill_hung(names, containers)
        run(["systemctl", "restart", *[f"deepgram-{name}.service" for name in names]], timeout=self.timeout)

    def _kill_hung(self, names, containers):
        for name in hung(self.urls, names, containers, self.hung_s):
            run(["podman", "kill", "--signal=KILL", f"deepgram-{name}"], check=False)  # it may just have died

    def keep(self):
        """The units start at boot by themselves."""
        return False

    def drop(self, name):
        """Takes away the container of a part that is not to run here, when its requests are done."""
        self._kill_hung([name], _there("podman", [name]))
        run(["systemctl", "stop", f"deepgram-{name}.service"], timeout=self.timeout, check=False)
        run(["podman", "rm", "--force", "--ignore", f"deepgram-{name}"])
        remove(f"{QUADLETS}/deepgram-{name}.container")
        run(["systemctl", "daemon-reload"])

    def there(self):
        """Does this server run Deepgram this way, or did so until a move that was cut off?"""
        return any(os.path.exists(f"{QUADLETS}/deepgram-{name}.container") for name in self._all())

    def _all(self):
        """The components of this kind that have a unit here, and those that may."""
        if is_alone(self.components):
            return list(self.components)
        names = os.listdir(QUADLETS) if os.path.isdir(QUADLETS) else []
        found = [COMPONENT.match(name[: -len(".container")]) for name in sorted(names) if name.endswith(".container")]
        units = [one[1] for one in found if one and one[1] not in deepgram_components.ALONE]
        return list(dict.fromkeys([*self.components, *sorted(units, key=is_api)]))

    def leave(self):
        """Stops the containers when their requests are done, and removes them. What `there` sees goes last."""
        components = self._all()
        self._kill_hung(components, _there("podman", components))
        units = [f"deepgram-{name}.service" for name in reversed(components)]
        rc, out, err = run(["systemctl", "stop", *units], timeout=self.timeout, check=False)
        if rc not in (0, 5):  # 5: systemd does not know them, so nothing runs
            raise CommandFailed(last_words(err or out, 5))
        network = [] if is_alone(components) else [f"{NETWORK}.network"]
        names = [*network, *(f"deepgram-{name}.container" for name in reversed(components))]
        remove(*(f"{QUADLETS}/{name}" for name in names))
        run(["systemctl", "daemon-reload"])


ENGINES = {"docker": Docker, "podman": Podman}
