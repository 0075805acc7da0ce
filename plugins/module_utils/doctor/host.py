"""A host as the doctor sees it: its programs, all asked at once, its files, its containers, and yesterday's record."""

import collections
import datetime
import glob
import os
import threading
import time

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.log import events
from ansible.module_utils.host import dns as host_dns
from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import network as host_network
from ansible.module_utils.host import record as host_record
from ansible.module_utils.host import units as host_units
from ansible.module_utils.host.command import Command
from ansible.module_utils.nvidia import drivers as nvidia_drivers
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.proxy import serving as proxy_serving

# root's own path: who comes by SSH or sudo may have another one.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT_S = 8  # for a program
# A driver that nothing keeps initialised takes seconds for each GPU.
SLOW = {"smi": 30, "smi_again": 30, "inside": 30, "podman": 20, "rpm": 20, "dnf_offers": 20, "units": 20}

LATE = "timed out"
UNIT = ("LoadState", "ActiveState", "UnitFileState", "MainPID", "LimitNOFILE")
# Units that no role recorded, and that a check asks about.
OTHER_UNITS = ("nginx.service", "deepgram-upstreams.service", "ufw.service", "firewalld.service")
STARTS_S, RECENT_S = 600, 600

Answer = collections.namedtuple("Answer", "text status why")
Answer.__doc__ = "What a program said, how it ended (None: it did not, or there is none), and why that is no success."


class Programs:
    """Programs that run side by side; each is waited for until its own limit, counted from the common start."""

    def __init__(self, commands):
        os.environ["PATH"] = PATH + ":" + os.environ.get("PATH", "")
        self.started, self.answers, self.lock = time.monotonic(), {}, threading.Lock()
        self.running = {name: Command(*argv, errors=True) for name, argv in commands.items()}
        self.turns = {name: threading.Lock() for name in commands}

    def reported(self, name):
        """The answer of a program; None for one that was not started."""
        if name not in self.turns:
            return None
        with self.turns[name]:
            if name not in self.answers:
                left = limit_of(name) - (time.monotonic() - self.started)
                self.answers[name] = answer(self.running[name], max(0.5, left))
        return self.answers[name]

    def also(self, name, *argv):
        """The answer of a program that is started only now."""
        with self.lock:
            if name not in self.turns:
                self.running[name], self.turns[name] = Command(*argv, errors=True), threading.Lock()
        with self.turns[name]:
            if name not in self.answers:
                self.answers[name] = answer(self.running[name], limit_of(name))
        return self.answers[name]


def limit_of(name):
    """Seconds that a program may take; `inside engine-a` is of the kind `inside`."""
    return SLOW.get(name.partition(" ")[0], LIMIT_S)


def answer(command, limit):
    text, why = command.output(round(limit, 1))
    return Answer(text, command.status, why)


class Host:
    """What checks inspect. Paths are those of the host; `root` stands before them."""

    def __init__(self, params, programs, engine, root=""):
        self.params, self.programs, self.engine, self.root = params, programs, engine, root
        self.cache, self.lock, self.manager, self.started = {}, threading.RLock(), None, time.time()

    def once(self, key, function):
        """What a function returns, asked once for all checks."""
        with self.lock:
            if key not in self.cache:
                self.cache[key] = function()
            return self.cache[key]

    def reported(self, name):
        """The answer of a program; None for one that was not asked."""
        return self.programs.reported(name)

    def today(self):
        return datetime.date.fromtimestamp(self.started)

    def packages(self):
        """Its package manager; None where it is none that is known here."""
        return self.manager

    def path(self, path):
        return self.root + path

    def read(self, path):
        """The stripped text of a file; "" when it cannot be read."""
        return host_files.read(self.path(path))

    def exists(self, path):
        return os.path.exists(self.path(path))

    def glob(self, *patterns):
        """Sorted paths, as the host has them."""
        found = {path[len(self.root) :] for pattern in patterns for path in glob.glob(self.path(pattern))}
        return sorted(found)

    def link(self, path):
        """The last part of what a link leads to; "" for none."""
        real = os.path.realpath(self.path(path))
        return os.path.basename(real) if os.path.islink(self.path(path)) else ""

    def gpus(self):
        """[{address, id}] of the GPUs on the bus, with what the table says of their kind under `model` (or {})."""
        table = self.table("gpus")
        found = self.once("gpus", lambda: nvidia_host.pci_gpus(self.path("/sys/bus/pci/devices")))
        return [dict(gpu, model=table.get(gpu["id"], {})) for gpu in found]

    def table(self, name):
        """A table of role platform; {} where it was not given."""
        return (self.params.get("tables") or {}).get(name) or {}

    def drivers(self):
        """The rules on which driver fits which GPU."""
        return nvidia_drivers.Drivers(self.table("branches"), self.table("generations"), self.today().strftime("%Y-%m"))

    def loaded(self):
        """Version of the NVIDIA module in the kernel; "" for none."""
        return nvidia_host.loaded_version(self.path("/sys/module"))

    def recorded(self, role):
        """What a role left on record here, by kind; {} when there is none that may be believed."""
        record = self.once("record " + role, lambda: host_record.read(role, self.params["host"])[0])
        return record["things"] if record and record.get("finished") else {}

    def roles(self):
        """The roles that left a record here."""
        return self.once("roles", lambda: [name for name in host_record.names() if name != host_record.VERIFIED])

    def all_recorded(self, kind):
        """What all roles recorded of a kind that is a dict."""
        return {thing: value for role in self.roles() for thing, value in (self.recorded(role).get(kind) or {}).items()}

    def look_at(self, path):
        """What is at a path, in the form of the records."""
        return host_files.look_at(self.path(path))

    def modified(self, path):
        """When a file was written, in seconds since 1970; None for none, and for a date in the future."""
        try:
            moment = os.stat(self.path(path)).st_mtime
        except OSError:
            return None
        return moment if moment <= self.started else None

    def json(self, path):
        """What a file in JSON holds; None for one that cannot be read."""
        return host_files.read_json(self.path(path))

    def resolves(self, server, name, timeout):
        """Seconds that a name server takes; None where it does not answer."""
        return host_dns.ask(server, name, timeout)

    def certificate_served(self, tls):
        """[(thing, how)] where a port serves another certificate than its file: see host_network."""
        return self.once("certificate", lambda: list(host_network.compare_certificate(tls)))

    def page(self, url):
        """What an address on this host says: {status, text} or {why}. A late one is asked again, for it may only be busy."""
        return self.once("page " + url, lambda: self._page(url))

    def _page(self, url):
        reported = host_network.page(url)
        return host_network.page(url) if LATE in reported.get("why", "") else reported

    def unit(self, name):
        """What systemd says of a unit that a role recorded or OTHER_UNITS names; {} where it says nothing."""
        return self.once("service units", self._units).get(name, {})

    def _units(self):
        names = sorted({*self.all_recorded("units"), *OTHER_UNITS})
        reported = self.programs.also("service_units", *host_units.show(names, *UNIT))
        return host_units.by_unit(reported.text, names) if reported.status == 0 else {}

    def reloaded(self, pid):
        """When a process, or the newest of its children, started: seconds since 1970."""
        return host_units.reloaded(pid)

    def start_log(self, part):
        """The events that a running container logged in its first minutes; [] where that is not known."""
        return self.once("start " + part, lambda: self._start_log(part))

    def _start_log(self, part):
        container = self.engine.container(part)
        if not (container and container["running"] and container["started"]):
            return []
        started = moment(container["started"])
        return events(
            self.programs.also(f"start_{part}", *self.engine.log_between(part, started, started + STARTS_S)).text
        )

    def recent_log(self, part):
        """The events that a container logged in the last minutes, since it started; [] where that is not known."""
        container = self.engine.container(part)
        began = moment(container["started"]) if container and container["started"] else 0
        since = max(self.started - RECENT_S, began)
        return self.once("recent " + part, lambda: events(
            self.programs.also(f"recent_{part}", *self.engine.log_between(part, since, self.started)).text))  # fmt: skip

    def answer(self, url):
        """What an address on this host answers: see host_network."""
        return self.once(url, lambda: host_network.ask(url))

    def serving(self, tls):
        """What callers are told on the paths of a proxy: see proxy_serving."""
        return self.once("serving", lambda: list(proxy_serving.answers(proxy_serving.start(tls))))

    def log(self):
        """The kernel's log of this boot, by lines; None when it cannot be read."""
        reported = self.reported("log")
        return reported.text.splitlines() if reported and reported.status == 0 else None

    def logged(self, *words):
        """The last line of the kernel's log with one of the words; "" for none."""
        lines = [line.strip() for line in self.log() or [] if any(word in line for word in words)]
        return lines[-1] if lines else ""

    def units(self):
        """{unit: {ActiveState, Result, ...}} of those that systemd was asked for; {} when it does not say."""
        reported = self.reported("units")
        return host_units.by_id(reported.text) if reported else {}
