"""Watches this node: takes it out at its proxies when it must not serve, heals it where that is safe, and brings it back.

  deepgram-watch watch                        for ever; the unit runs this
  deepgram-watch report                       what it knows, as JSON
  deepgram-watch silence [--for 2h] [--note]  does nothing but look, until then or until `resume`; the mark outlives a boot
  deepgram-watch resume

Exit status 0, or 1 with a sentence on stderr.
"""

import argparse
import json
import re
import signal
import sys
import threading
import time

from ansible.module_utils.watch import answer, files
from ansible.module_utils.watch.rounds import Rounds, forever, tell

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text):
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text}: give a number with s, m, h or d, such as 2h")
    return int(found[1]) * UNITS[found[2]]


def arguments(words):
    parser = argparse.ArgumentParser(
        prog="deepgram-watch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for word in ("watch", "report", "resume"):
        commands.add_parser(word)
    silence = commands.add_parser("silence")
    silence.add_argument("--for", dest="seconds", type=seconds, default=0, metavar="TIME")
    silence.add_argument("--note", default="maintenance")
    return parser.parse_args(words)


def watch():
    config = files.configuration()
    proxies, server = answer.Proxies(config["proxies"]), None
    if config["proxies"]:
        server = answer.Server(config["address"], config["port"], proxies)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    tell(f"watches {', '.join(config['urls'])}")
    forever(Rounds(config, proxies, server), config["interval_s"])


def report():
    found = files.report(time.time()) or {"phase": None, "reason": "no watchdog runs here"}
    found.pop("state", None)
    print(json.dumps({**found, "silent": files.silent(time.time())}))


def main(words=None):
    given = arguments(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if given.command == "watch":
            watch()
        elif given.command == "report":
            report()
        elif given.command == "silence":
            files.silence(given.seconds, given.note)
        else:
            files.resume()
    except (files.Unusable, OSError) as error:
        sys.exit(f"deepgram-watch: {error}")
