"""Containers that hang: they do not answer their own status, and nobody's request is in them.

A process that waits for a GPU which does not answer (or that was stopped by SIGSTOP) takes connections and says nothing: the
kernel accepts them. It does not act on the signal to stop either, so that its stop takes the whole grace that calls are given.
"""

from __future__ import annotations

import time

from ansible.module_utils.deepgram import api_health as deepgram_api_health
from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.deepgram.containers import now_at
from ansible.module_utils.deepgram.http import engine_load, get, get_either, get_json, metrics

ASK_S = 5
_LATE = "timed out"


def hung(urls, names, containers, wait_s):
    """Those of `names` whose container is to be killed rather than stopped.

    urls: by component the address of its own status. A container at whose port nobody listens holds no request, and one
    that keeps dying may miss the signal to stop. One that takes connections is asked for `wait_s` seconds (0: it is given
    all its time), and killed only where no request is in flight.
    """
    there = [name for name in urls if containers.get(name) and urls[name]]
    urls = {name: now_at(name, urls[name], containers[name].get("ports")) for name in there}
    left = [name for name in names if urls.get(name)]
    silent = {}
    until, late = time.monotonic() + wait_s, []
    while left:
        reported = {name: get_either(urls[name], timeout=ASK_S) for name in left}
        # An error of HTTP is an answer.
        silent = {name: why for name, (text, why) in reported.items() if text is None and not why.startswith("HTTP ")}
        late = [name for name, why in silent.items() if _LATE in why]
        if not late or time.monotonic() >= until:
            break
        left = list(silent)
        time.sleep(1)
    spared = late and (not wait_s or in_flight(urls, containers))
    return [name for name in names if name in silent and not (spared and name in late)]


def in_flight(urls, containers):
    """How many requests are being served, as the API says, or where it says nothing, the Engine; 0 where nobody says."""
    known = [name for name, found in containers.items() if found and urls.get(name)]
    apis = [name for name in known if kind(name) == "api"]
    counts = [deepgram_api_health.active(get_json(urls[name], timeout=ASK_S, ask=get_either)[0]) for name in apis]
    if counts and None not in counts:
        return sum(counts)
    texts = [get(urls[name], timeout=ASK_S)[0] for name in known if name not in apis and kind(name) == "engine"]
    return sum(sum(engine_load(metrics(text))["active_requests"].values()) for text in texts if text)
