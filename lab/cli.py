"""bin/lab: up, build, list, kill, start, fault, heal, down."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from lab import faulty, home, inventory, limits, machine, servers, services, systems, topology
from lab.containers import engine, network
from lab.hardware import gpus
from lab.packages import require
from lab.prepare import prepare
from lab.shell import LabError, say


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the lab could not do it, 2 wrong usage, 130 interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.verb(options) or 0
    except LabError as error:
        say(f"lab: {error}" + (f"\nFix: {error.fix}" if error.fix else ""))
        return 1
    except KeyboardInterrupt:
        say("Interrupted. `bin/lab up` goes on from here; `bin/lab down` removes what was started.")
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="bin/lab", description="Simulated GPU servers, and what a deployment talks to.")
    verbs = top.add_subparsers(required=True, metavar="up|build|list|kill|start|fault|heal|down")

    up_ = verbs.add_parser("up", help="start the lab, or add servers to it; running it again is quick")
    for group in topology.GROUPS:
        asked = f"how many servers of the group {group.name} (default: those there are)"
        up_.add_argument(f"--{group.option}", dest=_asked(group), type=_count, metavar="N", help=asked)
    up_.add_argument("--engine", choices=["docker", "podman"], default="docker", help="what the inventory asks for")
    up_.add_argument(
        "--gpu", default="t4", metavar="MODEL[:COUNT],..", help=f"of new servers: {', '.join(gpus.names())}"
    )
    up_.add_argument("--secure-boot", action="store_true", help="new servers' firmware enforces it")
    up_.add_argument(
        "--system", choices=list(systems.SYSTEMS), help="of the lab's servers (default: those there are, debian13)"
    )
    up_.add_argument(
        "--with-docker", action="store_true", help="new servers have Docker and nftables already (debian13)"
    )
    up_.add_argument("--name", default="lab", type=_name, help="more than one lab can run (default: lab)")
    up_.add_argument("--inventory", type=Path, metavar="DIR", help="where to write the inventory")
    up_.add_argument("--release", metavar="R", help="that the inventory asks for (default: what it did, or the newest)")
    up_.set_defaults(verb=up)

    build_ = verbs.add_parser(
        "build", help="make the images and packages that `up` makes the first time, and start no server"
    )
    build_.add_argument("system", nargs="*", metavar="SYSTEM", choices=list(systems.SYSTEMS), help="default: debian13")
    build_.set_defaults(verb=build)

    list_ = verbs.add_parser("list", help="show the servers")
    list_.add_argument("--json", action="store_true")
    list_.add_argument("--name", type=_name, help="of one lab only")
    list_.set_defaults(verb=show)

    kill_ = verbs.add_parser("kill", help="end every process of a server, without warning")
    kill_.add_argument("--cut", action="store_true", help="its network first: a power cut, of which nobody is told")
    kill_.add_argument("server", metavar="SERVER")
    kill_.set_defaults(verb=kill)

    start_ = verbs.add_parser("start", help="boot a server that was killed")
    start_.add_argument("server", metavar="SERVER")
    start_.set_defaults(verb=start)

    faulty.add_verbs(verbs)

    down_ = verbs.add_parser("down", help="stop and remove what `up` started")
    down_.add_argument("--name", default="lab", type=_name)
    down_.add_argument("--all", action="store_true", help="every lab and the services")
    down_.set_defaults(verb=down)
    return top


def _asked(group: topology.Group) -> str:
    """Where the parser keeps the count: `engine` alone is the container engine."""
    return f"count_{group.name}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 200:
        raise argparse.ArgumentTypeError(f"{text}: give a number from 0 to 200")
    return int(text)


def _name(text: str) -> str:
    if not text.isalnum() or not text.islower():
        raise argparse.ArgumentTypeError(f"{text}: a lab's name has small letters and digits only")
    return text


def up(options: argparse.Namespace) -> None:
    """Engine, network, services, servers, inventory: each step finds what is there and adds what is missing."""
    started = time.monotonic()
    has = gpus.parse(options.gpu)._replace(secure_boot=options.secure_boot)
    machine.require_amd64()
    require("ssh-keygen")
    place = home.find()
    with place.locked():
        engine.ensure(place)
        network.ensure(place)
        system = servers.system_of(place, options.name, options.system)
        asked = {group.name: getattr(options, _asked(group)) for group in topology.GROUPS}
        desired = topology.counts(asked, servers.counted(place, options.name))
        absent = servers.missing(place, options.name, desired)
        limits.ensure(len(servers.listed(place)) + len(absent))
        if options.with_docker and system.name != systems.USUAL:
            raise LabError(f"There is no {system.name} with Docker: leave out --with-docker or take {systems.USUAL}.")
        tools, fingerprint, models = prepare(place, bool(absent), system, options.with_docker)
        address = services.ensure(place, tools)
        services.push_images(place, address)
        nodes = servers.ensure(place, options.name, desired, has, system, options.with_docker)
        services.name_servers(place, {server.name: server.address for server in servers.listed(place)})
        directory = options.inventory or inventory.default_directory(place, options.name)
        links = [f"https://models.lab.test/{name}" for name in models]
        packages = system.settings.format(fingerprint=fingerprint)
        reported = inventory.Said(options.engine, packages, links, options.release)
        path = inventory.write(place, options.name, directory.resolve(), reported)
    _table(nodes)
    say(f"Lab `{options.name}` is up after {time.monotonic() - started:.1f} s. Inventory: {path}")


def build(options: argparse.Namespace) -> None:
    machine.require_amd64()
    place = home.find()
    with place.locked():
        engine.ensure(place)
        for name in options.system or [systems.USUAL]:
            prepare(place, True, systems.SYSTEMS[name])
            if name == systems.USUAL:
                prepare(place, True, systems.SYSTEMS[name], with_docker=True)


def show(options: argparse.Namespace) -> None:
    place = home.find()
    found = servers.listed(place, options.name) if engine.answers() else []
    if options.json:
        print(json.dumps([asdict(server) for server in found], indent=2))
    elif found:
        _table(found)
    elif servers.left(place) and not engine.answers():
        say("Docker does not run, and servers are left. Go on with them: bin/lab up. Remove them: bin/lab down")
    else:
        say("No server. Start some: bin/lab up")


def _table(found: list[servers.Server]) -> None:
    width, groups = (max(len(getattr(server, name)) for server in found) for name in ("name", "group"))
    for server in found:
        where = f"{server.name:<{width}}  {server.address:<15}  {server.group:<{groups}}"
        print(f"{where}  {server.state:<8}  GPU {', '.join(server.gpus) or 'none'}")


def kill(options: argparse.Namespace) -> None:
    servers.kill(servers.find(home.find(), options.server), options.cut)
    say(f"Killed {options.server}. It comes back with: bin/lab start {options.server}")


def start(options: argparse.Namespace) -> None:
    started = time.monotonic()
    servers.start(servers.find(home.find(), options.server))
    say(f"{options.server} runs after {time.monotonic() - started:.1f} s.")


def down(options: argparse.Namespace) -> None:
    """Removes one lab's servers; with the last one go the services and the network. Built images stay."""
    place = home.find()
    with place.locked():
        if not engine.answers():
            if not servers.left(place):
                say("No Docker runs on this machine, so no lab does.")
                return
            say("A lab's servers are left from before Docker stopped on this machine: it is started to remove them.")
            engine.ensure(place)
        mine = servers.listed(place, None if options.all else options.name)
        for server in mine:
            servers.remove(place, server)
        say(f"Removed {len(mine)} server(s).")
        if others := servers.listed(place):
            services.name_servers(place, {server.name: server.address for server in others})
            say(f"Still there: {', '.join(server.name for server in others)}, and the services they use.")
            return
        servers.forget(place)
        services.remove(place)
        network.remove(place)
        engine.stop(place)


if __name__ == "__main__":
    sys.exit(main())
