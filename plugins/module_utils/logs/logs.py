"""Prints what a server's programs have said since a moment, a line of JSON each, by time; with `follow` also what comes.

A line: {time, source, text} and, where it is asked for and known, {signature, meaning, fix}; {note} where a source says nothing.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

from ansible.module_utils.deepgram.components import component
from ansible.module_utils.deepgram.log import Grouping
from ansible.module_utils.logs.redaction import Redaction
from ansible.module_utils.logs.signatures import explained
from ansible.module_utils.logs.sources import MOST, commands

MARK = "log: "
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT_S = 30
SETTLES_S = 1.5  # what came before is sorted, what comes later is told as it comes
IDLE_S = 0.3  # an event that no line follows for so long is whole
BEAT_S = 5  # nobody reads any more: seen by a write that fails
DONE = object()


def main(text):
    """Carries out a request in JSON: {ago: seconds, or at: seconds since 1970; follow, explain}."""
    request = json.loads(text)
    os.environ["PATH"] = PATH + ":" + os.environ.get("PATH", "")
    since = request["at"] if request.get("at") is not None else time.time() - request["ago"]
    stream = Stream(since, bool(request.get("follow")), bool(request.get("explain")), Redaction())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        stream.run(sys.stdout)
    except (BrokenPipeError, KeyboardInterrupt):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        stream.end()


def containers():
    """Names of our containers in Docker, also those that have ended."""
    words = ["docker", "ps", "--all", "--format", "{{.Names}}"]
    try:
        reported = subprocess.run(
            words, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [name for name in reported.split() if component(name)]


class Stream:
    """All sources at once; each is a program, read by a thread of its own."""

    def __init__(self, since, follow, explain, redact, found=None):
        self.since, self.follow, self.explain, self.redact = since, follow, explain, redact
        self.commands = commands(since, follow, containers()) if found is None else found
        self.lines, self.programs, self.groups, self.notes = queue.Queue(), {}, {}, []

    def start(self):
        for name, (command, reader) in self.commands.items():
            try:
                self.programs[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT if name.startswith("deepgram-") else subprocess.DEVNULL,
                    env=dict(os.environ, LC_ALL="C"),
                )  # fmt: skip
            except OSError:
                continue  # a server without Docker, or without NGINX
            threading.Thread(target=self._read, args=(name, reader), daemon=True).start()

    def _read(self, name, reader):
        count = 0
        for raw in self.programs[name].stdout:
            found = reader(raw.decode("utf-8", "replace").rstrip("\n"))
            count += 1
            if found and found[0] >= self.since:
                self.lines.put((name, found))
        if count >= MOST and not self.follow:
            self.notes.append(f"{name}: the last {MOST} lines alone; a later --since shows them whole")
        self.lines.put((name, DONE))

    def run(self, out):
        self.start()
        early = self.until(time.monotonic() + (SETTLES_S if self.follow else LIMIT_S))
        for line in sorted(early, key=lambda line: line["time"]):
            self.tell(out, line)
        for note in self.notes:
            self.tell(out, {"note": note})
        out.flush()
        if self.follow:
            self.go_on(out)

    def until(self, end):
        """The events up to a moment, or until every program has ended."""
        found, open_ones = [], set(self.programs)
        while open_ones and time.monotonic() < end:
            try:
                name, reported = self.lines.get(timeout=max(0.01, min(IDLE_S, end - time.monotonic())))
            except queue.Empty:
                continue
            if reported is DONE:
                open_ones.discard(name)
            else:
                found += self.added(name, reported)
        if open_ones and not self.follow:
            self.notes += [f"{name}: no end in {LIMIT_S} s; what it said until then" for name in sorted(open_ones)]
        return found + self.rest()

    def go_on(self, out):
        """What comes, as it comes, until nobody reads any more."""
        beat = time.monotonic()
        while True:
            try:
                name, reported = self.lines.get(timeout=IDLE_S)
                events = [] if reported is DONE else self.added(name, reported)
            except queue.Empty:
                events = self.rest()
            for event in events:
                self.tell(out, event)
            if events or time.monotonic() - beat > BEAT_S:
                out.write("" if events else "\n")
                out.flush()
                beat = time.monotonic()

    def added(self, name, reported):
        when, source, text = reported
        group = self.groups.setdefault((name, source), Grouping())
        return [self.line(*mark, event) for mark, event in group.add(text, (when, source))]

    def rest(self):
        return [self.line(*mark, event) for group in self.groups.values() for mark, event in group.rest()]

    def line(self, when, source, text):
        text = self.redact(text)
        more = explained(source, text) if self.explain else {}
        return {"time": round(when, 6), "source": source, "text": text, **more}

    def tell(self, out, line):
        out.write(MARK + json.dumps(line) + "\n")

    def end(self):
        for program in self.programs.values():
            if program.poll() is None:
                program.kill()
