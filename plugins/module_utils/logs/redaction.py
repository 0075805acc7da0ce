"""Takes out of a line what opens something: the server's own keys, and what looks like one."""

import glob
import re

from ansible.module_utils.deepgram.containers import secrets_in
from ansible.module_utils.host.whole_file import text_of

FILES = ("/etc/deepgram/deepgram.env", "/etc/deepgram-license-proxy/deepgram.env")
# Behind an air gap the key of the licence stands in these.
KEYED = ("/etc/deepgram/*/*.toml", "/etc/deepgram-license-proxy/*/*.toml")
KEY = re.compile(r'^key = "(.+)"$', re.MULTILINE)
MASK = "********"
# The words before a secret stay.
NAMES = r"[\w-]*api[_-]?key|access[_-]?token|token|password|passwd|secret"
PATTERNS = (
    re.compile(r"(authorization\"?\s*[:=]\s*\"?(?:token|bearer|basic)\s+)[^\s\"',]+", re.IGNORECASE),
    re.compile(
        rf"(\b(?:{NAMES})\"?\s*[=:]\s*\"?)[^\s\"',&;}}]+",
        re.IGNORECASE,
    ),
    # What a caller's request says behind its path: callback addresses, words that are nobody's business.
    re.compile(r"(request: \"[A-Z]+ [^\s?\"]+\?)[^\s\"]+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#@'\"]+@", re.IGNORECASE),
)


def _there(patterns):
    return [path for pattern in patterns for path in glob.glob(pattern)]


class Redaction:
    """Called with a text: the text without secrets."""

    def __init__(self, files=FILES, keyed=KEYED):
        found = {value.strip("'\"") for path in _there(files) for value in secrets_in(path)}
        found |= {key for path in _there(keyed) for key in KEY.findall(text_of(path) or "")}
        self.secrets = sorted(found, key=len, reverse=True)

    def __call__(self, text):
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        for pattern in PATTERNS:
            text = pattern.sub(lambda found: found[1] + MASK + ("@" if found[0].endswith("@") else ""), text)
        return text
