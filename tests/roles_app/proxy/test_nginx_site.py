"""nginx_site: nothing goes live that nginx has not tested as a whole."""

import json
import os
import stat
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd
from ansible.module_utils.testing import patch_module_args

from tests.roles_app.conftest import load

MODULE = load("modules", "nginx_site")
# Stands in PATH as nginx: refuses a configuration in which any file says "bad".
NGINX = """#!/bin/sh
for word; do last=$word; done
if grep -rqs bad "$(dirname "$last")"; then echo "nginx: [emerg] bad in $(dirname "$last")/conf.d/x.conf" >&2; exit 1; fi
"""


class Failed(Exception):
    pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """site(**parameters) -> (changed, reload needed) on an /etc/nginx of the test's own, with Debian's welcome page."""
    root, programs = tmp_path / "etc" / "nginx", tmp_path / "bin"
    for folder in (root / "conf.d", root / "tls", root / "sites-enabled", programs):
        folder.mkdir(parents=True)
    (root / "nginx.conf").write_text(f"include {root}/conf.d/*.conf;")
    (root / "sites-enabled" / "default").symlink_to("/dev/null")
    (programs / "nginx").write_text(NGINX)
    (programs / "nginx").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(MODULE, "ROOT", str(root))
    monkeypatch.setattr(MODULE, "MAIN", str(root / "nginx.conf"))
    monkeypatch.setattr(MODULE, "WELCOME", str(root / "sites-enabled" / "default"))
    monkeypatch.setattr(MODULE, "PID", str(tmp_path / "no.pid"))

    def fail_json(**result):
        raise Failed(result["msg"])

    def go(check_mode=False, **changes):
        params = {
            "path": f"{root}/conf.d/deepgram.conf",
            "content": "good",
            "certificate": f"{root}/tls/d.crt",
            "key": f"{root}/tls/d.key",
            "certificate_content": None,
            "key_content": None,
            "client_ca": f"{root}/tls/callers.pem",
            "client_ca_content": None,
            "main_path": f"{root}/modules-enabled/90-deepgram.conf",
            "main_content": "shutdown",
            "worker_connections": None,
            "includes": [],
            "read_too": [],
            "absent": [],
        }
        module = SimpleNamespace(params={**params, **changes}, check_mode=check_mode, fail_json=fail_json)
        return MODULE.apply(module)

    go.root = root
    return go


def test_first_run_writes_and_switches_the_welcome_page_off(site):
    assert site() == (True, True)
    assert (site.root / "conf.d/deepgram.conf").read_text() == "good"
    assert not os.path.lexists(site.root / "sites-enabled/default")
    assert site() == (False, False)


def test_refused_site_leaves_everything_as_it_was(site):
    site()
    with pytest.raises(Failed, match=r"nginx refuses the configuration: nginx: \[emerg\] bad in .*Fix:") as failure:
        site(content="bad", key_content="new key")
    assert str(site.root) in str(failure.value), "the message names the live path, not the copy"
    assert (site.root / "conf.d/deepgram.conf").read_text() == "good" and not (site.root / "tls/d.key").exists()


def test_other_sites_are_tested_along_and_stay(site):
    (site.root / "conf.d/other.conf").write_text("bad")
    with pytest.raises(Failed):
        site()
    assert (site.root / "conf.d/other.conf").read_text() == "bad" and not (site.root / "conf.d/deepgram.conf").exists()


def test_key_is_for_root_alone_and_stays_so(site):
    files = {"certificate_content": "cert", "key_content": "key"}
    site(**files)
    key = site.root / "tls/d.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE((site.root / "tls/d.crt").stat().st_mode) == 0o644
    key.chmod(0o644)
    assert site(**files)[0] and stat.S_IMODE(key.stat().st_mode) == 0o600


def test_check_mode_writes_nothing(site):
    assert site(check_mode=True) == (True, True)
    assert not (site.root / "conf.d/deepgram.conf").exists() and os.path.lexists(site.root / "sites-enabled/default")


def test_reload_is_due_while_the_workers_are_older_than_a_file(site, monkeypatch):
    site()
    file = site.root / "conf.d/deepgram.conf"
    for started, due in ((file.stat().st_mtime - 5, True), (file.stat().st_mtime + 5, False)):
        monkeypatch.setattr(MODULE, "started_last", lambda started=started: started)
        assert site() == (False, due)


def test_a_file_that_the_site_includes_counts_for_a_reload_and_goes_once_nothing_names_it(site, monkeypatch):
    key = site.root / "overflow.conf"
    key.write_text("a key")
    site(read_too=[str(key)])
    newest = max(path.stat().st_mtime for path in site.root.rglob("*") if path.is_file())
    monkeypatch.setattr(MODULE, "started_last", lambda: newest - 10)
    for path in site.root.rglob("*.conf"):
        os.utime(path, (newest - 20, newest - 20))
    assert site() == (False, False)
    os.utime(key, (newest - 5, newest - 5))
    assert site() == (False, False) and site(read_too=[str(key)]) == (False, True)
    assert site(absent=[str(key)], check_mode=True) == (True, True) and key.exists()
    assert site(absent=[str(key)]) == (True, True) and not key.exists()


def test_nginx_gets_as_many_connections_and_keeps_the_rest_of_its_file(site):
    site()
    assert (site.root / "modules-enabled/90-deepgram.conf").read_text() == "shutdown"
    main = site.root / "nginx.conf"
    main.write_text("events {\n\tworker_connections 768;\n}\n# mine")
    assert site(worker_connections=8192)[0]
    reported = f"\n\n# Added by Ansible.\ninclude {site.root}/modules-enabled/90-deepgram.conf;\n"
    assert main.read_text() == "events {\n\tworker_connections 8192;\n}\n# mine" + reported
    assert not site(worker_connections=8192)[0] and not site(worker_connections=1000)[0]


def test_a_main_file_that_is_gone_comes_out_of_its_package_once_it_was_tested(site, monkeypatch):
    site()
    main = site.root / "nginx.conf"
    packaged = {}
    monkeypatch.setattr(MODULE, "packaged", lambda path, give_up: packaged[path])
    main.unlink()
    assert site(check_mode=True) == (True, True) and not main.exists()
    packaged[str(main)] = "events {\n\tworker_connections 768;\n}\nbad"
    with pytest.raises(Failed, match="nginx refuses"):
        site(worker_connections=8192)
    assert not main.exists()
    packaged[str(main)] = packaged[str(main)].removesuffix("bad")
    assert site(worker_connections=8192) == (True, True)
    assert "worker_connections 8192;" in main.read_text() and site(worker_connections=8192) == (False, False)


def test_a_main_file_that_no_package_has_is_an_error(site, monkeypatch):
    def packaged(path, give_up):
        give_up(f"{path} is gone, and no installed package has it", "Bring it")

    monkeypatch.setattr(MODULE, "packaged", packaged)
    (site.root / "nginx.conf").unlink()
    with pytest.raises(Failed, match=r"nginx\.conf is gone, and no installed package has it\. Fix: Bring it"):
        site()


def test_check_mode_tests_nothing_while_an_include_is_missing(site):
    site()
    (site.root / "tls/d.key").write_text("key")
    with pytest.raises(Failed):
        site(check_mode=True, content="bad")
    assert site(check_mode=True, content="bad", includes=["/nowhere/upstreams.conf"]) == (True, True)


@pytest.mark.parametrize(
    ("own", "command"), [([], ["systemctl", "reload", "nginx.service"]), (["/p", "reload"], ["/p", "reload"])]
)
def test_a_running_nginx_takes_its_files_by_the_command_that_it_is_given(monkeypatch, own, command):
    ran = []

    def run(words, timeout=0):
        ran.append(words)
        return 0, "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", ""

    for module in (MODULE, systemd):
        monkeypatch.setattr(module, "run", run)
    assert MODULE.serve(SimpleNamespace(params={"reload": own}, check_mode=False), True)
    assert ran[1:] == [command]


class Site:
    """A site in place whose nginx -T prints `dump`, and whose paths answer `reported` one after the other."""

    def __init__(self, monkeypatch, dump="", rc=0, reported=(), check_mode=False):
        self.ran, self.reported = [], list(reported)
        monkeypatch.setattr(
            MODULE, "run", lambda words, timeout=0: (rc, dump, dump) if words[1:] == ["-T"] else (0, "", "")
        )
        monkeypatch.setattr(MODULE, "made", lambda module, verb: self.ran.append(verb))
        monkeypatch.setattr(
            MODULE, "stranger", lambda params: self.reported.pop(0) if len(self.reported) > 1 else self.reported[0]
        )
        params = {"path": "/etc/nginx/conf.d/deepgram.conf", "port": 443, "server_name": "gpu1", "timeout_s": 0.5}
        self.module = SimpleNamespace(params=params, check_mode=check_mode, fail_json=self.fail)

    def fail(self, **result):
        raise Failed(result["msg"])


FOREIGN = (
    "# configuration file /etc/nginx/conf.d/00-foreign.conf:\n"
    "server { listen 443 ssl; server_name gpu1; return 418; }\n\n"
    "# configuration file /etc/nginx/conf.d/deepgram.conf:\nserver { listen 443 ssl default_server; server_name gpu1; }\n\n"
)


def test_a_site_that_takes_the_requests_is_named_and_stays(monkeypatch):
    with pytest.raises(
        Failed, match=r"00-foreign\.conf:1: .*gpu1:443.* Fix: remove /etc/nginx/conf\.d/00-foreign\.conf"
    ):
        MODULE.own(Site(monkeypatch, FOREIGN).module)
    MODULE.own(Site(monkeypatch, FOREIGN.replace("server_name gpu1; return", "server_name b; return")).module)


def test_another_default_server_is_named(monkeypatch, tmp_path):
    # The words of nginx 1.26.3, which names the last of them: the role's own.
    reported = "nginx: [emerg] a duplicate default server for 0.0.0.0:443 in /etc/nginx/conf.d/deepgram.conf:27\n"
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/00-foreign.conf").write_text("server { listen 443 ssl default_server; return 418; }")
    monkeypatch.setattr(MODULE, "ROOT", str(tmp_path))
    with pytest.raises(Failed, match=r"00-foreign\.conf:1: .* Fix: remove `default_server` in \S+/00-foreign\.conf"):
        MODULE.own(Site(monkeypatch, reported, rc=1).module)
    MODULE.own(Site(monkeypatch, reported, rc=1, check_mode=True).module)


def test_nginx_reads_its_files_again_where_another_site_still_answers(monkeypatch):
    site = Site(monkeypatch, reported=["/v1/listen: HTTP 418", "/v1/listen: HTTP 418", ""])
    assert MODULE.prove_own(site.module) is True and site.ran == ["reload"]
    site = Site(monkeypatch, reported=[""])
    assert MODULE.prove_own(site.module) is False and site.ran == []


def test_another_program_that_answers_is_a_failure(monkeypatch):
    with pytest.raises(Failed, match=r"127\.0\.0\.1:443/v1/listen: HTTP 418.* Fix: "):
        MODULE.prove_own(Site(monkeypatch, reported=["/v1/listen: HTTP 418"]).module)


class Systemd:
    """NGINX's unit; `refuses` is the verb that fails."""

    def __init__(self, monkeypatch, active="active", enabled="enabled", refuses=""):
        self.active, self.enabled, self.refuses, self.did = active, enabled, refuses, []
        for module in (MODULE, systemd):
            monkeypatch.setattr(module, "run", self.run)

    def run(self, words, timeout=0):
        if words[1] == "show":
            return 0, f"LoadState=loaded\nActiveState={self.active}\nUnitFileState={self.enabled}\n", ""
        if words[0] == "journalctl":
            return 0, "bind() to 0.0.0.0:443 failed\n", ""
        self.did.append(words[1])
        return (1, "", "Job failed.\n") if words[1] == self.refuses else (0, "", "")

    def serve(self, reload=False, check_mode=False):
        def fail_json(**reported):
            raise Failed(reported["msg"])

        module = SimpleNamespace(params={"reload": []}, check_mode=check_mode, fail_json=fail_json)
        return MODULE.serve(module, reload)


@pytest.mark.parametrize(
    ("state", "reload", "did"),
    [
        ({}, False, []),
        ({}, True, ["reload"]),
        ({"active": "failed"}, False, ["start"]),
        ({"active": "inactive", "enabled": "disabled"}, True, ["start", "enable"]),
        ({"enabled": "disabled"}, False, ["enable"]),
    ],
)
def test_nginx_runs_now_and_at_boot_with_its_files(monkeypatch, state, reload, did):
    nginx = Systemd(monkeypatch, **state)
    assert nginx.serve(reload, check_mode=True) is bool(did) and nginx.did == []
    assert nginx.serve(reload) is bool(did) and nginx.did == did


@pytest.mark.parametrize(
    ("state", "verb"), [({"active": "failed"}, "start"), ({}, "reload"), ({"enabled": "disabled"}, "enable")]
)
def test_nginx_that_does_not_start_says_why(monkeypatch, state, verb):
    nginx = Systemd(monkeypatch, refuses=verb, **state)
    words = rf"systemctl {verb} nginx.service: Job failed. \| bind\(\) to 0.0.0.0:443 failed. Fix: "
    with pytest.raises(Failed, match=words):
        nginx.serve(reload=True)


@pytest.fixture
def proved(monkeypatch):
    """proved(*answers): (what is reported, looks) where the port serves these certificates one after another."""

    def run(*answers, timeout_s=1):
        looks, clock = [], SimpleNamespace(now=0.0)

        def served(host, port, name):
            assert (host, port, name) == ("127.0.0.1", 443, "speech.test")
            looks.append(clock.now)
            found = answers[min(len(looks), len(answers)) - 1]
            if isinstance(found, OSError):
                raise found
            return found

        def sleep(seconds):
            clock.now += seconds

        def fail_json(**reported):
            raise Failed(reported["msg"])

        monkeypatch.setattr(MODULE, "served_certificate", served)
        monkeypatch.setattr(MODULE, "first_certificate", lambda path: f"of {path}")
        monkeypatch.setattr(MODULE.time, "monotonic", lambda: clock.now)
        monkeypatch.setattr(MODULE.time, "sleep", sleep)
        params = {"port": 443, "server_name": "speech.test", "certificate": "/c", "timeout_s": timeout_s}
        try:
            MODULE.prove(SimpleNamespace(params=params, fail_json=fail_json))
        except Failed as failure:
            return str(failure), len(looks)
        return "", len(looks)

    return run


def test_the_port_must_serve_the_certificate_of_the_file_in_time(proved):
    assert proved("of /c") == ("", 1)
    assert proved(ConnectionRefusedError("refused"), "other", "of /c") == ("", 3)
    reported, looks = proved("other")
    assert (
        "127.0.0.1:443 serves another certificate than the one in the file (/c). Fix: " in reported
        and 10 <= looks <= 12
    )
    assert "127.0.0.1:443 does not answer: refused (/c)" in proved(ConnectionRefusedError("refused"))[0]


def test_when_the_newest_worker_started(tmp_path, monkeypatch):
    """/proc/PID/stat: the 22nd field is the start, in ticks since the boot."""
    ticks = os.sysconf("SC_CLK_TCK")
    files = {
        str(tmp_path / "pid"): "7\n",
        "/proc/7/task/7/children": "8 9 10",
        "/proc/uptime": "1000.00 1.00\n",
        **{
            f"/proc/{pid}/stat": f"{pid} (nginx: a) b) S {' '.join(['0'] * 18)} {start * ticks} 0 0"
            for pid, start in ((7, 100), (8, 100), (9, 400))
        },
    }
    monkeypatch.setattr(MODULE, "PID", str(tmp_path / "pid"))
    monkeypatch.setattr(MODULE, "read", files.get)
    monkeypatch.setattr(MODULE.time, "time", lambda: 5000.0)
    assert MODULE.started_last() == 4400.0, "10 ended while it was read"
    del files["/proc/7/task/7/children"]
    assert MODULE.started_last() is None
    files[str(tmp_path / "pid")] = ""
    assert MODULE.started_last() is None


def test_a_file_from_the_future_says_nothing(site, monkeypatch):
    site()
    os.utime(site.root / "conf.d/deepgram.conf", (9e9, 9e9))
    monkeypatch.setattr(MODULE, "started_last", lambda: MODULE.time.time() + 5)
    assert site() == (False, False)


@pytest.mark.parametrize("before", ["good before", None])
def test_a_diff_shows_the_site_before_and_after(site, monkeypatch, capsys, tmp_path, before):
    path = site.root / "conf.d/deepgram.conf"
    if before:
        path.write_text(before)
    for name, found in (("own", None), ("serve", False), ("prove", None), ("prove_own", False)):
        monkeypatch.setattr(MODULE, name, lambda *_, found=found: found)
    tls = {name: str(site.root / f"tls/d.{name[:3]}") for name in ("certificate", "key")}
    arguments = {"path": str(path), "content": "good", "port": 443, "server_name": "x", **tls}
    with patch_module_args({**arguments, "_ansible_remote_tmp": str(tmp_path)}), pytest.raises(SystemExit):
        MODULE.main()
    reported = json.loads(capsys.readouterr().out)
    assert reported["changed"] and path.read_text() == "good"
    assert reported["diff"] == {"before": before or "", "after": "good", "before_header": str(path)}
