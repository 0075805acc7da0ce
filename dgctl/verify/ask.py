"""Asks a server several things in one round trip: a table of shell commands in, a table of answers out."""

from __future__ import annotations

import base64
import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

# Podman's warnings stand beside its errors.
_NOISE = re.compile("level=warning")
# One hanging command (nvidia-smi on a lost GPU) must not swallow the answers of the others.
QUESTION_LIMIT_S = 25

# stdout stays in memory, because some answers are not for /tmp.
_SCRIPT = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL
errors=$(mktemp); trap 'rm -f "$errors"' EXIT
ask() {
  out=$(timeout -k 2 %(limit)d /bin/sh -c "$fetch$2" 2>"$errors" </dev/null); rc=$?
  printf '%%s %%s %%s %%s\\n' "$1" "$rc" "$(printf '%%s' "$out" | base64 | tr -d '\\n')" \\
    "$(tail -c 2000 "$errors" | base64 | tr -d '\\n')."
}
fetch=%(fetch)s
"""

# `fetch URL` prints the body of an answer of any status, with curl or with the Python that Ansible needs. Of the server itself:
# a certificate is a check of its own.
_FETCH = """\
fetch() {
  if command -v curl >/dev/null; then curl -sSk --max-time 10 --noproxy '*' "$1"; return; fi
  python3 -c '
import ssl, sys, urllib.error, urllib.request as ask
way = ask.ProxyHandler({}), ask.HTTPSHandler(context=ssl._create_unverified_context())
try: answer = ask.build_opener(*way).open(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error: answer = error
except OSError as problem: sys.exit(str(problem))
print(answer.read().decode())' "$1"
}
"""


@dataclass(frozen=True)
class Answer:
    """What one command said. str() is its output, or its complaint when it failed: fit to show as `seen`."""

    rc: int
    out: str
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.rc == 0

    @property
    def text(self) -> str:
        """The output without surrounding blanks; nothing when the command failed."""
        return self.out.strip() if self.ok else ""

    @property
    def lines(self) -> list[str]:
        """The non-empty lines of the output, stripped; none when the command failed."""
        return [line.strip() for line in self.out.splitlines() if line.strip()] if self.ok else []

    @property
    def pairs(self) -> dict[str, str]:
        """The lines NAME=VALUE, as `systemctl show` prints them of a unit; none when the command failed."""
        return dict(line.split("=", 1) for line in self.lines if "=" in line)

    def json(self) -> Any:
        """The output as JSON; None when the command failed or said something else."""
        try:
            return json.loads(self.out) if self.ok else None
        except ValueError:
            return None

    def __str__(self) -> str:
        if self.ok:
            return self.out.strip()
        # The cause comes last, among and after warnings.
        lines = _reported(self.err) or _reported(self.out)
        reported = " ".join(" ".join(lines[-2:]).split())[-300:]
        return f"{reported} (exit {self.rc})" if reported else f"exit {self.rc}"


def _reported(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if not _NOISE.search(line)]


def ask(host: Any, questions: dict[str, str]) -> dict[str, Answer]:
    """Runs every command of `questions` (name -> shell command) as root on testinfra's `host`, in one round
    trip.

    The commands may use `fetch URL`. A name that the server did not answer gets exit status 125.
    """
    script = _SCRIPT % {"limit": QUESTION_LIMIT_S, "fetch": shlex.quote(_FETCH)}
    script += "".join(f"ask {name} {shlex.quote(command)}\n" for name, command in questions.items())
    reported = host.run(script)
    answers = dict(_parse(line) for line in reported.stdout.splitlines() if line.endswith("."))
    nothing = Answer(reported.rc or 125, "", reported.stderr or "no answer")
    return {name: answers.get(name, nothing) for name in questions}


def _parse(line: str) -> tuple[str, Answer]:
    name, rc, out, err = line.removesuffix(".").split(" ")
    return name, Answer(int(rc), _plain(out), _plain(err))


def _plain(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")
