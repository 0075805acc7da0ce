"""For ever: ask every server how it is, decide, tell NGINX."""

import sys
import time

import files
import health
import marks
import members
import watchdog
from settle import alone, settle

FALL_CLOSING_S = 1.5  # the most for what the watch has found: a server that fell gets requests until then


def watch():
    """A failure is said once, and tried again."""
    reported = ""
    while True:
        begin = time.monotonic()
        interval = 2.0
        try:
            config = files.configuration()
            interval = float(config.get("interval_s") or interval)
            news = watchdog.reported(config, members.known(config), marks.read())
            seen = health.look_at(config["nodes"], lambda node, news=news: watchdog.out(node, news[node["name"]]))
            health.find_overflow(config)
            with alone():
                before = {name: member.get("up") for name, member in members.state().items()}
                try:
                    settle(files.configuration(), seen, FALL_CLOSING_S)
                finally:
                    tell(before, members.state())
            reported = ""
        except Exception as error:
            if str(error) != reported:
                reported = str(error)
                print(reported, file=sys.stderr, flush=True)
        time.sleep(max(0.1, interval - (time.monotonic() - begin)))


def tell(before, after):
    """A line in the journal for each server that came or went. before: name -> was it up."""
    for name, member in after.items():
        if before.get(name) != member["up"]:
            print(f"{name}: {'up' if member['up'] else 'down'} ({member['health']})", flush=True)
