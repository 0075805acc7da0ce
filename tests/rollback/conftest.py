"""A server made of a folder: configurations, models, records, and a container engine's images."""

import importlib
import json
import os

import pytest

from tests.roles_app.conftest import load

MODULE = load("modules", "deepgram_snapshot")
applied_record = importlib.import_module("ansible.module_utils.host.record")
applied_things = importlib.import_module("ansible.module_utils.look.things")
KILLED = 9
STEPS = ("rename", "replace", "unlink", "link", "rmdir", "mkdir", "chmod", "symlink", "fsync", "utime")


class Server:
    """`become` makes it run a release as the roles do; `call` runs the module's work."""

    def __init__(self, root, patch):
        self.root, self.images = root, root / "images.list"
        self.images.write_text("")
        self.in_use = set()  # names that a container runs from
        for folder in ("etc/engine", "models", "state"):
            (root / folder).mkdir(parents=True)
        (root / "machine-id").write_text("0123\n")
        patch.setattr(applied_record, "FOLDER", str(root / "state"))
        patch.setattr(applied_record, "MACHINE_ID", str(root / "machine-id"))
        patch.setattr(MODULE, "FOLDER", str(root / "state"))
        patch.setattr(MODULE.snapshot_state, "PLACE", str(root / "verified"))
        patch.setattr(MODULE.snapshot_state, "IMAGES", str(root / "etc/images.json"))
        patch.setattr(MODULE.snapshot_images, "run", self.engine)
        patch.setattr(os, "fsync", lambda handle: None)  # no power cut here, and it takes most of the time

    def names(self):
        return set(self.images.read_text().split())

    def engine(self, argv, timeout=0, check=True):
        """What docker does with images; the registry has none."""
        names, word = self.names(), next(word for word in argv[1:] if not word.startswith("-"))
        rc, out = 0, ""
        if word == "image":
            rc = 0 if argv[-1] in names else 1
        elif word == "tag":
            rc, names = (0, names | {argv[-1]}) if argv[-2] in names else (1, names)
        elif word == "rmi":
            rc = 1 if set(argv[2:]) & self.in_use else 0
            names -= set(argv[2:]) - self.in_use
        elif word == "images":
            out = "\n".join(name for name in names if "@" not in name)
        else:
            rc = 1
        self.images.write_text("\n".join(sorted(names)))
        if check and rc:
            raise MODULE.CommandFailed(f"no such thing: {argv[-1]}")
        return rc, out, ""

    def path(self, name):
        return str(self.root / name)

    def become(self, release, models=("a.dg",), finished=True, secret="key", extra=()):
        """The files, models and records of a release, as its roles would leave them."""
        image = {"repository": "registry.test/engine", "release": release, "digest": f"sha256:{release[-1] * 64}"}
        self.images.write_text(f"{self.images.read_text()}\n{MODULE.snapshot_images.reference(image)}")
        texts = {
            "etc/images.json": json.dumps({"release": release, "containers": {"deepgram-engine": image}}),
            "etc/engine/engine.toml": f"max_active_requests = 20\n# {release}\n\n[health]\ngpu_required = true\n",
            "etc/compose.yaml": release,
            "etc/deepgram.env": f"KEY={secret}\n",
            **{name: release for name in extra},
        }
        for name, text in texts.items():
            self.write(name, text, 0o600 if name.endswith(".env") else 0o644)
        for name in models:
            if not (self.root / "models" / name).exists():
                self.write(f"models/{name}", f"model {name}")
        self.write("models/.sha256.json", json.dumps({"a.dg": {"sha256": ""}, "of": release}))
        self.record(release, [*texts, "etc", "etc/engine"], models, finished)

    def write(self, name, text, mode=0o644):
        (self.root / name).write_text(text)
        (self.root / name).chmod(mode)

    def record(self, release, names, models, finished=True):
        declared = {"files": [self.path(name) for name in names], "absent": [self.path("etc/never")]}
        things = applied_things.record(declared)
        things["containers"] = {
            "engine": "docker",
            "names": {"deepgram-engine": {"reads": [self.path("etc/deepgram.env")]}},
        }
        things["answers"] = ["http://127.0.0.1:9991/metrics"]
        desired = {"fingerprint": f"f-{release}"}
        applied_record.write("deepgram", "gpu1", role="deepgram", finished=finished, desired=desired, things=things)
        things = applied_things.record(
            {
                "files": [self.path("models/.sha256.json")],
                "large_files": [self.path(f"models/{name}") for name in models],
            }
        )
        applied_record.write("deepgram_models", "gpu1", role="x", finished=finished, desired=desired, things=things)

    def look(self):
        """What a later look would find changed."""
        found = []
        for role in ("deepgram", "deepgram_models"):
            record, why = applied_record.read(role, "gpu1")
            things = {
                kind: value for kind, value in record["things"].items() if kind in ("files", "absent", "large_files")
            }
            found += [why] if why else applied_things.compare(things, applied_things.Server([things]))
        return found

    def call(self, state, check_mode=False, **more):
        roles = ["deepgram", "deepgram_models"]
        params = {
            "state": state,
            "to": "auto",
            "roles": roles,
            "timeout_s": 5,
            "if_verified": False,
            "archive": "",
            **more,
        }
        names = {"kept": "keep", "restored": "restore", "settled": "settle", "report": "report"}
        work = getattr(MODULE, names[state])
        lock = None if check_mode or state == "report" else MODULE.hold_place()
        try:
            return work(params, check_mode)
        finally:
            if lock:
                lock.close()

    def call_killed(self, step, state):
        """Runs it in a process that dies before its step number `step`; True when it came to its end."""
        child = os.fork()
        if child == 0:
            left = [step]

            def dying(function):
                def call(*arguments, **more):
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(KILLED)
                    return function(*arguments, **more)

                return call

            for name in STEPS:
                setattr(os, name, dying(getattr(os, name)))
            try:
                self.call(state)
            except BaseException:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, KILLED)
        return status == 0

    def retained(self):
        return {slot: (MODULE.load(slot) or {}).get("release") for slot in ("current", "previous")}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """make(): another server."""
    made = []

    def one():
        root = tmp_path / str(len(made))
        root.mkdir()
        made.append(Server(root, monkeypatch))
        return made[-1]

    return one


@pytest.fixture
def server(make):
    return make()
