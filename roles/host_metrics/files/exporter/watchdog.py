"""What the watchdog of this server says of it: deepgram-watch writes that every two seconds (role node_watch)."""

import json
import time

PATH = "/run/deepgram-watch/state.json"
STALE_S = 60
PHASES = ("in", "out", "acting", "proving", "hand")


def figures(page, path=PATH):
    """Whether the server took itself out, and what it tried. Without a watchdog, or with one that ended, only that."""
    try:
        with open(path, encoding="utf-8") as stream:
            reported = json.load(stream)
        alive = time.time() - reported["at"] <= STALE_S
    except (OSError, ValueError, KeyError, TypeError):
        reported, alive = {}, False
    page.add("dgctl_watch_up", "Whether the watchdog of this server runs", alive)
    if not alive:
        return
    for phase in PHASES:
        about = "1 for what the watchdog is at: in, out, acting, proving, hand (waits for one)"
        page.add("dgctl_watch_phase", about, reported.get("phase") == phase, phase=phase)
    page.add("dgctl_watch_out", "Whether the server took itself out at its proxies", bool(reported.get("out")))
    page.add("dgctl_watch_tries", "Remedies that it tried within the last hour", reported.get("tries"))
    page.add("dgctl_watch_healed", "How often it healed the server since the boot", reported.get("healed"))
    page.add(
        "dgctl_watch_frozen",
        "Whether a run, a drain or a mark of maintenance silences it",
        bool(reported.get("frozen")),
    )
    page.add("dgctl_watch_warnings", "Findings that it only tells", len(reported.get("warnings") or ()))
