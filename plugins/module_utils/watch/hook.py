"""The operator's own command, which is told what happens: a webhook, a mail, a page."""

import json
import subprocess
import sys
import threading

LIMIT_S = 30


class Hook:
    """Words of a command; it gets {event, text, host, state} as JSON on its stdin. Nobody waits for it."""

    def __init__(self, words):
        self.words = words

    def call(self, reported):
        if self.words:
            threading.Thread(target=self._run, args=(json.dumps(reported) + "\n",), daemon=True).start()

    def _run(self, text):
        try:
            done = subprocess.run(self.words, input=text, capture_output=True, text=True, timeout=LIMIT_S)
            why = f"ended with {done.returncode}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why:
            print(f"node_watch_hook: {self.words[0]}: {why}", file=sys.stderr, flush=True)
