"""The proof that this node serves: a real transcription through its own API, for the profiles that take a file.

Of others the API is asked whether it is connected to an Engine and in order, which is all that can be asked without a stream.
"""

import base64
import http.client
import json
import urllib.parse

from ansible.module_utils.deepgram import api_health
from ansible.module_utils.deepgram.http import models
from ansible.module_utils.host import network as host_network
from ansible.module_utils.watch.seen import document

LIMIT_S = 60
BUSY = (429, 503)  # no verdict: it has no room
ENOUGH = 0.5  # of the words that are said


def failure(config, busy_is_well=False):
    """Why a request is not served; "" where it is, and on a server without an API."""
    for name, url in config["apis"].items():
        why = _of_api(url, config, busy_is_well)
        if why:
            return why if len(config["apis"]) == 1 else f"{name}: {why}"
    return ""


def _of_api(api, config, busy_is_well):
    url, profile = api["url"], api["profile"]
    link = document(host_network.page(url + "/engine")).get("engine_connection_status")
    if link != "Connected":
        return f"the API is not connected to an Engine (engine_connection_status: {link})"
    if profile != "stt":
        health = api_health.state(document(host_network.page(url)))
        return "" if health in api_health.SERVING else f"the API's system_health is {health}"
    base = url[: -len("/v1/status")]
    with open(config["speech"], "rb") as stream:
        sound = base64.b64decode(stream.read())
    try:
        status, reported = post(base, "/v1/listen?" + query(base), sound)
    except (OSError, http.client.HTTPException) as error:
        return f"a transcription got no answer: {error or type(error).__name__}"
    if status in BUSY and busy_is_well:
        return ""
    return judged(status, reported, config["words"])


def query(base):
    """The model that is asked: an English one where there is one, else the first that takes files."""
    try:
        known = models(json.loads(host_network.page(base + "/v1/models").get("text") or "{}"))
    except ValueError:
        known = []
    able = [one for one in known if one["kind"] == "stt" and one["batch"] is not False]
    english = [one for one in able if any(str(each).startswith("en") for each in one["languages"] or [])]
    chosen = next(iter(english or able), None)
    asked = {"model": chosen["canonical_name"] or chosen["name"]} if chosen else {}
    if chosen and not english and chosen["languages"]:
        asked["language"] = chosen["languages"][0]
    return urllib.parse.urlencode(asked)


def post(base, target, body):
    place = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    connection.sock = host_network.over(base, host_network.connect(place.hostname, place.port, LIMIT_S))
    try:
        connection.request("POST", target, body, {"Content-Type": "audio/wav"})
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20)
    finally:
        connection.close()


def judged(status, reported, words):
    """Why an answer is no transcript of these words; what a model of another language hears is not compared."""
    try:
        found = json.loads(reported)
        best = found["results"]["channels"][0]["alternatives"][0]
        heard = str(best["transcript"]).lower()
    except (ValueError, KeyError, IndexError, TypeError):
        text = " ".join(reported[:200].decode("utf-8", "replace").split())
        return f"a transcription got HTTP {status}: {text}"
    if status != 200:
        return f"a transcription got HTTP {status}"
    known = [word for word in words if word in heard.replace(".", " ").replace(",", " ").split()]
    if words and len(known) < ENOUGH * len(words):
        return f"of {len(words)} words that are said it heard {len(known)}"
    return ""
