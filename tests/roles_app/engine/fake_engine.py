"""Programs called docker and podman for tests: they answer from a JSON file and note how they were called."""

import json
import sys
from pathlib import Path

PROGRAM = f"""#!{sys.executable}
import fcntl, json, pathlib, sys
state_file = pathlib.Path(__file__).with_name("state.json")
lock = open(state_file.with_name("lock"), "w")
fcntl.flock(lock, fcntl.LOCK_EX)  # two may be called at the same time
state = json.loads(state_file.read_text())
state["calls"].append([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
words = [word for word in sys.argv[1:] if not word.startswith("-")]
rc, out, err = 0, "", ""
if "inspect" in words:
    found = state["images" if "image" in words else "containers"].get(words[-1])
    rc, out = (0, json.dumps([found])) if found else (1, "[]")
elif "pull" in words:
    answer = state["registry"].get(words[-1], {{"error": "manifest unknown"}})
    rc, err = (1, answer["error"]) if "error" in answer else (0, "")
    for name in answer.get("names", []):
        state["images"][name] = answer["image"]
elif "logs" in words or "--no-pager" in sys.argv:
    out = state["logs"].get(words[-1], "")
state_file.write_text(json.dumps(state))
print(out, end="")
print(err, end="", file=sys.stderr)
sys.exit(rc)
"""


class FakeEngine:
    """The two programs in a folder that stands first in PATH."""

    def __init__(self, folder: Path, monkeypatch):
        self._file = folder / "state.json"
        for name in ("docker", "podman", "journalctl", "systemctl"):
            (folder / name).write_text(PROGRAM)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        self.set(images={}, containers={}, registry={}, logs={}, calls=[])

    def set(self, **parts):
        state = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._file.write_text(json.dumps({**state, **parts}))

    @property
    def calls(self):
        return json.loads(self._file.read_text())["calls"]

    def pulls(self):
        return [call[-1] for call in self.calls if "pull" in call]

    def offer(self, repository, tag, digest):
        """Puts an image into the registry, under its tag and its digest."""
        state = json.loads(self._file.read_text())
        names = [f"{repository}:{tag}", f"{repository}@{digest}"]
        entry = {"image": {"RepoDigests": [f"{repository}@{digest}"]}, "names": names}
        self.set(registry={**state["registry"], **{name: entry for name in names}})
