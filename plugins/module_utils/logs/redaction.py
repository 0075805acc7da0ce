"""Takes out of a line what opens something: the server's own keys, and what looks like one."""

import glob
import re

from ansible.module_utils.deepgram.containers import secrets_in

FILES = ("/etc/deepgram/deepgram.env", "/etc/deepgram-license-proxy/deepgram.env")
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


class Redaction:
    """Called with a text: the text without secrets."""

    def __init__(self, files=FILES):
        paths = [path for pattern in files for path in glob.glob(pattern)]
        self.secrets = sorted(
            {value.strip("'\"") for path in paths for value in secrets_in(path)}, key=len, reverse=True
        )

    def __call__(self, text):
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        for pattern in PATTERNS:
            text = pattern.sub(lambda found: found[1] + MASK + ("@" if found[0].endswith("@") else ""), text)
        return text
