"""deepgram_stop: what is taken away, and what is left alone."""

import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.roles_app.conftest import load

MODULE = load("modules", "deepgram_stop")
WIPE = MODULE.deepgram_wipe


class Server:
    """Files and records in a folder; docker, systemctl, dpkg-query and nginx as a list of what they were asked."""

    def __init__(self, root, patch):
        self.root, self.asked, self.running, self.images = (
            root,
            [],
            ["deepgram-api", "deepgram-engine", "other"],
            ["one", "two"],
        )
        patch.setattr(WIPE.host_record, "FOLDER", str(root / "lib/deepgram/applied-state"))
        patch.setattr(WIPE, "FOLDERS", (str(root / "etc/deepgram"), str(root / "lib/deepgram")))
        patch.setattr(WIPE, "IMAGES", str(root / "etc/deepgram/images.json"))
        patch.setattr(WIPE, "SITE", str(root / "etc/nginx/conf.d/deepgram.conf"))
        patch.setattr(WIPE, "UNITS", str(root / "units") + "/")
        patch.setattr(WIPE, "run", self.run)
        patch.setattr(MODULE, "run", self.run)
        patch.setattr(MODULE, "ENGINES", {"docker": self.engine})

    def engine(self, params, check_mode):
        """Docker with a compose project."""
        server = self

        class Engine:
            compose = (
                server.root
                / params["directory"].lstrip("/").replace(str(server.root).lstrip("/"), ".")
                / "compose.yaml"
            )

            def there(self):
                return self.compose.exists()

            def leave(self):
                server.running = ["other"]
                self.compose.unlink()

        return Engine()

    def run(self, argv, timeout=0, check=True):
        self.asked.append(argv)
        rc, out = 0, ""
        if argv[:1] == ["dpkg-query"]:
            rc = 0 if argv[-1].endswith("nginx.conf") else 1
        elif argv[1:2] == ["ps"]:
            out = "\n".join(self.running)
        elif argv[1:2] == ["images"] and argv[0] == "docker":
            out = "".join(f"registry.test/engine {name}\n" for name in self.images) + "postgres three\n"
        elif argv[1:2] == ["rmi"]:
            self.images = [name for name in self.images if name not in argv]
        return rc, out, ""

    def file(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def work(self, wipe=False, check_mode=False):
        return MODULE.work(
            {"wipe": wipe, "directory": str(self.root / "etc/deepgram"), "stop_timeout_s": 5}, check_mode
        )

    def paths(self):
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def server(tmp_path, monkeypatch):
    one = Server(tmp_path, monkeypatch)
    image = {"repository": "registry.test/engine", "digest": "sha256:1"}
    one.file("etc/deepgram/images.json", json.dumps({"containers": {"deepgram-engine": image}, "pins": {}}))
    files = [one.file(name) for name in ("etc/deepgram/compose.yaml", "units/deepgram.service", "etc/nginx/nginx.conf")]
    files += [one.file(f"local/deepgram/{name}") for name in ("a-program", "inner/one.py", "inner/two.py")]
    models = [one.file(f"disk/models/{name}") for name in ("a.dg", "b.dg.partial", ".sha256.json", "notes.txt")][:1]
    one.file("disk/models/.verified/a.dg.kept")
    one.file("etc/nginx/conf.d/deepgram.conf")
    for role, things in (
        ("deepgram", {"files": {key: {} for key in files}, "large_files": {key: {} for key in models}}),
        ("nvidia_driver", {"files": {one.file("etc/driver.conf"): {}}}),
    ):
        one.file(f"lib/deepgram/applied-state/{role}.json", json.dumps({"things": things}))
    return one


def test_stopping_leaves_everything_but_the_containers(server):
    before = server.paths()
    assert server.work(check_mode=True)["changed"] and server.paths() == before
    result = server.work()
    assert result["changed"] and result["stopped"] == ["deepgram-api", "deepgram-engine"] and result["removed"] == []
    assert before - server.paths() == {"etc/deepgram/compose.yaml"} and server.images == ["one", "two"]
    assert not server.work()["changed"]


def test_a_container_without_its_project_is_stopped_too(server):
    os.unlink(server.root / "etc/deepgram/compose.yaml")
    assert server.work()["changed"]
    assert ["docker", "rm", "--force", "deepgram-api"] in server.asked and "other" not in str(server.asked)


def test_wiping_takes_what_the_roles_made_and_nothing_else(server):
    before = server.paths()
    assert (
        server.work(wipe=True, check_mode=True)["changed"]
        and server.paths() == before
        and server.images == ["one", "two"]
    )
    result = server.work(wipe=True)
    assert server.paths() == {"etc/nginx/nginx.conf", "disk/models/notes.txt", "etc/driver.conf"}
    assert not (server.root / "local/deepgram").exists() and (server.root / "local").exists()
    assert server.images == [] and "docker image one" in result["removed"]
    assert not any("three" in call for call in server.asked)
    assert ["systemctl", "disable", "--now", "deepgram.service"] in server.asked
    assert ["systemctl", "reload", "nginx.service"] in server.asked
    assert not server.work(wipe=True)["changed"]


def test_wiping_that_was_cut_off_goes_on(server, monkeypatch):
    for name in ("rmtree", "unlink"):
        left = server.paths()
        owner = WIPE.shutil if name == "rmtree" else os
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            server.work(wipe=True)
        assert "lib/deepgram/applied-state/deepgram.json" in left
    server.work(wipe=True)
    assert server.paths() == {"etc/nginx/nginx.conf", "disk/models/notes.txt", "etc/driver.conf"}


def test_of_billing_everything_goes_but_its_journal(server):
    """Deepgram is paid by it, and losing it may suspend the service (samples/airgapped.md of the official chart)."""
    licence, journal = (
        server.file("etc/deepgram-billing/license/license.dg"),
        server.file("lib/deepgram-billing/journal/journal"),
    )
    folders = [os.path.dirname(licence), os.path.dirname(journal)]
    things = {"files": {path: {} for path in (licence, *folders)}}
    server.file("lib/deepgram/applied-state/billing.json", json.dumps({"things": things}))
    server.running = ["deepgram-billing"]
    done = server.work(wipe=True)
    assert "deepgram-billing" in done["stopped"] and licence in done["removed"]
    assert not os.path.exists(os.path.dirname(licence)) and os.path.exists(journal)
    assert not any("journal" in path for path in done["removed"])
    assert os.path.exists(journal) and server.work(wipe=True) and os.path.exists(journal)


@pytest.mark.parametrize("part", ["license-proxy", "billing"])
def test_what_is_a_project_of_its_own_does_not_come_back_at_boot(server, part):
    os.unlink(server.root / "etc/deepgram/compose.yaml")
    own = server.file(f"etc/deepgram-{part}/compose.yaml")
    server.running = [f"deepgram-{part}", "other"]
    assert server.work()["stopped"] == [f"deepgram-{part}"] and not os.path.exists(own)


def test_what_cannot_be_removed_is_named(monkeypatch, capsys, tmp_path):
    def work(params, check_mode):
        raise PermissionError(13, "Permission denied", "/etc/deepgram/compose.yaml")

    monkeypatch.setattr(MODULE, "work", work)
    monkeypatch.setattr(MODULE.lease, "wait", lambda: None)
    with patch_module_args({"_ansible_remote_tmp": str(tmp_path)}), pytest.raises(SystemExit):
        MODULE.main()
    reported = json.loads(capsys.readouterr().out)
    assert reported["failed"] and reported["msg"].startswith(
        "/etc/deepgram/compose.yaml cannot be removed: Permission denied"
    )


@pytest.mark.parametrize("check", [True, False])
def test_it_waits_for_the_watchdog_before_it_touches_a_container(monkeypatch, capsys, tmp_path, check):
    done = []
    monkeypatch.setattr(MODULE, "work", lambda params, check_mode: done.append("work") or {"changed": True})
    monkeypatch.setattr(MODULE.lease, "wait", lambda: done.append("wait"))
    arguments = {"_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path)}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        MODULE.main()
    assert json.loads(capsys.readouterr().out)["changed"] and done == (["work"] if check else ["wait", "work"])
