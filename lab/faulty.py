"""bin/lab fault and bin/lab heal: the command line of the faults."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from lab import home, servers
from lab.shell import LabError


def add_verbs(verbs: argparse._SubParsersAction) -> None:
    fault = verbs.add_parser("fault", help="break something on a server, as it breaks on real ones")
    fault.add_argument("server", metavar="SERVER", nargs="?")
    fault.add_argument("name", metavar="NAME", nargs="?", help="a fault of the list")
    fault.add_argument("--list", action="store_true", help="the faults, and what each needs")
    fault.add_argument("--json", action="store_true")
    fault.set_defaults(verb=inject)
    healing = verbs.add_parser("heal", help="take a fault away again")
    healing.add_argument("server", metavar="SERVER")
    healing.add_argument("name", metavar="NAME")
    healing.set_defaults(verb=heal)


def inject(options: argparse.Namespace) -> None:
    from lab import faults

    if options.list:
        show(options.json)
    elif not options.server or not options.name:
        raise LabError("A fault needs a server and a name.", "bin/lab fault --list; then bin/lab fault SERVER NAME")
    else:
        place = home.find()
        print(faults.inject(place, servers.find(place, options.server), options.name))


def heal(options: argparse.Namespace) -> None:
    from lab import faults

    place = home.find()
    print(faults.heal(place, servers.find(place, options.server), options.name))


def show(as_json: bool) -> None:
    from lab.faults import FAULTS

    if as_json:
        rows = [asdict(fault) for fault in FAULTS.values()]
        print(json.dumps([{key: row[key] for key in row if key not in ("inject", "heal")} for row in rows], indent=2))
        return
    width = max(len(name) for name in FAULTS)
    for name, fault in FAULTS.items():
        print(f"{name:<{width}}  {fault.about}  [{fault.check}; gpu {fault.gpu}, {fault.setup}, {fault.engine}]")
