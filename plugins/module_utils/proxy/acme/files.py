"""What the program of the certificate keeps, and how it says that something failed."""

import json
import subprocess

from ansible.module_utils.host.whole_file import text_of, write


class Failed(Exception):
    """(what is wrong, what to do)."""


def read(path):
    """A file's text; "" where there is none."""
    return text_of(path) or ""


def state_of(config):
    """What the last orders came to: {ordered, tried, since, error, fix}; moments in seconds since 1970."""
    try:
        return json.loads(read(config["state"]) or "{}")
    except ValueError:
        return {}


def note(config, **changes):
    write(config["state"], json.dumps({**state_of(config), **changes}, sort_keys=True) + "\n", 0o644)


def run(words, timeout, environment=None):
    """(exit code, stdout and stderr); 127 without the program, 124 when the time is over."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout,
                              env=environment, check=False)  # fmt: skip
    except FileNotFoundError:
        return 127, f"{words[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{words[0]} did not end in {timeout} s"
    return done.returncode, done.stdout.decode("utf-8", "replace")
