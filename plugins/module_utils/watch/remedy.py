"""What the watchdog does about a finding: a word and a component, `kill engine`, `restart engine-a`, `reboot`.

Docker is told over its socket (Engine API, POST /containers/NAME/restart); Podman's containers are units of systemd. A
container that starts is given its CDI devices again.
"""

import socket
import time

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram import api_health
from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.doctor.engine import ENGINES, SOCKET, Silent
from ansible.module_utils.doctor.host import Programs
from ansible.module_utils.host import lease
from ansible.module_utils.host import network as host_network
from ansible.module_utils.host.command import Command
from ansible.module_utils.host.http import receive, send
from ansible.module_utils.nvidia import cdi_refresh
from ansible.module_utils.watch.seen import document

KILL_S = 1  # a process that hangs does not act on the signal to stop
MORE_S = 60  # for the container engine itself
STEP_S = 1


class Failed(Exception):
    """A remedy that could not be carried out; the text says why."""


def carry_out(words, config, frozen):
    """Carries one out; "" when it is done, else why it is not. frozen(): who works on this server now, "" for nobody."""
    verb, _, component = words.partition(" ")
    try:
        with lease.watchdog():
            why = frozen()
            if why:
                return f"left alone: {why}"
            VERBS[verb](component, config)
    except (Failed, OSError, Silent) as error:
        return f"{words}: {error}"
    return ""


def kill(component, config):
    if config["engine"] == "podman":
        run("systemctl", "kill", "--signal=KILL", unit(component))
    _restart(component, config, KILL_S)
    _afterwards(component, config)


def restart(component, config):
    """With the patience that requests are given; a container that lost its GPU needs CDI files that are current."""
    if config["gpu"] and kind(component) == "engine":
        run("systemctl", "restart", cdi_refresh.UNITS[-1], must=False)
    _restart(component, config, config["grace_s"])
    _afterwards(component, config)


def reboot(component, config):
    run("systemctl", "reboot")


VERBS = {"kill": kill, "restart": restart, "reboot": reboot}


def unit(component):
    return f"deepgram-{component}.service"


def _restart(component, config, grace_s):
    if config["engine"] == "podman":
        run("systemctl", "restart", unit(component), seconds=grace_s + MORE_S)
        return
    target = f"/containers/deepgram-{component}/restart?t={grace_s}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(MORE_S)
        connection.connect(SOCKET)
        send(connection, "docker", target, "POST")
        status, _, body = receive(connection, grace_s + MORE_S)
    if status >= 300:
        raise Failed(f"Docker answers {status}: {body[:200].decode('utf-8', 'replace')}")


def _afterwards(component, config):
    """An API remembers what failed while its Engine was down, and proxies send a Critical one nothing: it starts again too."""
    if kind(component) != "engine":
        return
    _until_it_answers(config["urls"].get(component, ""), config["start_s"])
    kind_of = ENGINES[config["engine"]]
    for api, url in config["urls"].items():
        if kind(api) != "api":
            continue
        engine = kind_of(Programs(kind_of.commands(False)))
        since = {"api": started(engine.container(api)), "engine": started(engine.container(component))}
        if api_health.reproach(document(host_network.page(url)), since.get):
            _restart(api, config, config["grace_s"])


def started(container):
    return (moment(container["started"]) or 0) if container and container["running"] else 0


def _until_it_answers(url, seconds):
    end = time.monotonic() + seconds
    while host_network.page(url).get("status") != 200:
        if time.monotonic() > end:
            raise Failed(f"it does not answer {seconds} s after its start")
        time.sleep(STEP_S)


def run(*words, seconds=MORE_S, must=True):
    command = Command(*words, errors=True)
    reported, why = command.output(seconds)
    if must and (command.status or why):
        raise Failed(f"{' '.join(words)}: {reported.strip()[-200:] or why}")
