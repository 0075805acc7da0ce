"""Keeps NGINX's list of Deepgram servers: who serves, who is drained, who does not answer.

  deepgram-upstreams watch             asks every server how it is, again and again; the unit runs this
  deepgram-upstreams report            every server with its state, as JSON
  deepgram-upstreams drain NAME...     no new requests go there; those that it has go on
  deepgram-upstreams undrain NAME...
  deepgram-upstreams render            brings the list up to date once
  deepgram-upstreams reload            has NGINX take its files, as all of these do when they change the list

Exit status 0, or 1 with a sentence on stderr. All but `watch` print {changed, members} as JSON.
A member is {state, reason, note, since, health, active, address, known}; health is `out by itself: ...`
where its own watchdog says so.
"""

import argparse
import json
import signal
import subprocess
import sys

import commands
from files import Refused
from members import report
from watch import watch


def arguments():
    parser = argparse.ArgumentParser(
        prog="deepgram-upstreams", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words = parser.add_subparsers(dest="command", required=True)
    for word in ("watch", "report", "render", "reload"):
        words.add_parser(word)
    for word in ("drain", "undrain"):
        words.add_parser(word).add_argument("names", nargs="+", metavar="NAME")
    words.choices["drain"].add_argument("--reason", default="operator", choices=["operator", "rollout", "failed"])
    words.choices["drain"].add_argument("--note", default="")
    return parser.parse_args()


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is under way is put right first
    if given.command == "watch":
        watch()
    work = {
        "report": lambda: False,
        "render": commands.render,
        "reload": commands.reload,
        "drain": lambda: commands.drain(given.names, given.reason, given.note),
        "undrain": lambda: commands.undrain(given.names),
    }
    try:
        changed = work[given.command]()
        members = commands.refreshed() if given.command == "report" else report()
    except (Refused, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"deepgram-upstreams: {error}")
    print(json.dumps({"changed": changed, "members": members}))


if __name__ == "__main__":
    main()
