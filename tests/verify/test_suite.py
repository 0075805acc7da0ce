"""A small suite through the same plugin, alone and over pytest-xdist: each end of a check becomes a Check."""

import getpass
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dgctl.base.errors import DgctlError
from dgctl.deployment.deployment import Deployment, Host
from dgctl.verify import suite
from dgctl.verify.plugin import SECRETS

CHECKS = """
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from dgctl.verify.expect import NO_CONCERN, Unmet

GROUPS = ("node", "engine")

def test_same(host, expect):
    expect(host.run("echo two words").stdout, "two words", "never needed", ok=True)

def test_differs(expect, host_name):
    expect(["b", "a"], "a only", f"mend {host_name}")

def test_skipped(expect):
    pytest.skip("not here")

def test_of_no_concern(expect):
    pytest.skip(NO_CONCERN)

def test_breaks(host, desired, expect):
    expect(desired["no such variable"], 1, "x")

def test_says_nothing(host):
    pass

def test_compares_nothing(host, expect):
    pass

@pytest.fixture
def broken():
    raise OSError("no such fixture today")

def test_setup_breaks(host, broken, expect):
    expect(1, 1, "x")

@pytest.fixture(scope="module")
def missing(host):
    raise Unmet("no file", "a file", "make it")

def test_needs(missing, expect):
    expect(1, 1, "x")

def test_needs_too(missing, expect):
    expect(1, 1, "x")

@pytest.mark.parametrize("part", ["api", "engine", "license-proxy"])
def test_each(host, part, expect):
    expect(part, part, "x")

def test_worker(expect):
    expect(os.getpid(), "", "x", ok=True)

def test_worker_again(expect):
    expect(os.getpid(), "", "x", ok=True)
"""


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "test_small.py").write_text(CHECKS)
    (folder / "test_proxy.py").write_text("GROUPS = ('proxy',)\ndef test_never(expect): expect(1, 2, '')\n")
    return folder


def run(deployment, progress, tmp_path, folder, **hosts):
    made = deployment(**hosts)
    checks = suite.run(made, list(hosts), progress, tmp_path / "verify.log", folder)
    return {(check.host, check.check): check for check in checks}


@pytest.mark.parametrize("names", [["gpu1"], ["gpu1", "gpu2", "gpu3"]])
def test_every_end_of_a_check_becomes_a_verdict(deployment, progress, tmp_path, small, names):
    checks = run(deployment, progress, tmp_path, small, **{name: {} for name in names})
    for name in names:
        verdicts = {check: found.verdict for (host, check), found in checks.items() if host == name}
        assert verdicts == {
            "small.same": "pass",
            "small.differs": "fail",
            "small.skipped": "skip",
            "small.breaks": "fail",
            "small.says_nothing": "fail",
            "small.compares_nothing": "fail",
            "small.setup_breaks": "fail",
            "small.needs": "fail",
            "small.needs_too": "fail",
            "small.each.api": "pass",
            "small.each.engine": "pass",
            "small.worker": "pass",
            "small.worker_again": "pass",
        }
        differs, same = checks[name, "small.differs"], checks[name, "small.same"]
        assert (differs.seen, differs.expected, differs.fix) == ("b, a", "a only", f"mend {name}")
        assert (same.seen, same.expected, same.fix) == ("two words", "two words", "")
        needs = checks[name, "small.needs_too"]
        assert (needs.seen, needs.expected, needs.fix) == ("no file", "a file", "make it")
        assert checks[name, "small.skipped"].seen == "not here"
        assert "no such variable" in checks[name, "small.breaks"].seen
        assert "no such fixture today" in checks[name, "small.setup_breaks"].seen
        assert checks[name, "small.setup_breaks"].fix
        assert (name, "failed", "small.differs") in progress.hosts
        assert checks[name, "small.worker"].seen == checks[name, "small.worker_again"].seen
    assert len({checks[name, "small.worker"].seen for name in names}) == len(names)
    assert [host for host, _ in checks] == sorted(host for host, _ in checks)
    assert "test_small" in (tmp_path / "verify.log").read_text()


def test_unreachable_host_fails_once_and_skips_the_rest(deployment, progress, tmp_path):
    """ssh goes to a port where nothing listens; the real suite runs."""
    off = {"ansible_connection": "ssh", "ansible_port": 1, "ansible_user": "nobody"}
    checks = run(deployment, progress, tmp_path, suite.CHECKS, missing=off)
    reachable = checks.pop(("missing", "reachable"))
    assert (reachable.verdict, "refused" in reachable.seen) == ("fail", True)
    assert "ansible_port" in reachable.fix
    assert {check.verdict for check in checks.values()} == {"skip"}
    assert len(checks) > 30
    assert ("missing", "unreachable", "reachable") in progress.hosts


def test_users_pytest_settings_do_not_reach_the_suite(deployment, progress, tmp_path, small, monkeypatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (small / "conftest.py").write_text("raise SystemExit('found me')")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--nonsense")
    monkeypatch.chdir(tmp_path)
    assert len(run(deployment, progress, tmp_path, small, gpu1={})) == 13


def test_temporary_folders_of_other_pytests_are_none_of_its_business(
    deployment, progress, tmp_path, small, monkeypatch
):
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path))
    left = [tmp_path / f"pytest-of-{getpass.getuser()}" / f"pytest-{number}" for number in range(9)]
    for folder in left:
        folder.mkdir(parents=True)
    assert run(deployment, progress, tmp_path, small, gpu1={}, gpu2={})
    assert sorted(left[0].parent.iterdir()) == left


def test_a_suite_that_cannot_run_is_a_bug_and_never_an_empty_success(deployment, progress, tmp_path, small):
    (small / "test_small.py").write_text("import no_such_module")
    with pytest.raises(DgctlError) as caught:
        run(deployment, progress, tmp_path, small, gpu1={})
    assert caught.value.exit_code == 1
    assert str(tmp_path / "verify.log") in caught.value.problems[0].where


DIES = """
import os
def test_before(expect): expect(1, 1, '')
def test_dies(host_name, expect): os._exit(9) if host_name in {} else expect(1, 1, '')
def test_after(expect): expect(1, 1, '')
"""


@pytest.mark.parametrize("dying", [["b"], ["a", "b"]])
def test_a_worker_that_dies_is_a_failed_check_and_stops_no_other_host(deployment, progress, tmp_path, small, dying):
    (small / "test_small.py").write_text(DIES.format(dying))
    checks = run(deployment, progress, tmp_path, small, a={}, b={})
    for name in dying:
        assert checks[name, "small.dies"].verdict == "fail" and "crashed" in checks[name, "small.dies"].seen
    if "a" not in dying:
        assert {check.verdict for (host, _), check in checks.items() if host == "a"} == {"pass"}


def test_a_suite_that_hangs_is_stopped(deployment, progress, tmp_path, small, monkeypatch):
    monkeypatch.setattr(suite, "STALL_S", 3)
    (small / "test_small.py").write_text("import time\ndef test_hangs(expect): time.sleep(60)\n")
    with pytest.raises(DgctlError, match="stopped half way"):
        run(deployment, progress, tmp_path, small, gpu1={})


def test_every_file_of_the_suite_has_its_place():
    assert {path.stem for path in suite.CHECKS.glob("test_*.py")} == {f"test_{name}" for name in suite.SUBJECTS}


def test_no_secret_is_written_down(deployment, progress, tmp_path, small, monkeypatch):
    """The plan and the log know nothing of passwords and keys."""
    written = {}
    keep = suite._write_privately

    def spy(path, content, mode):
        written[path.name] = (content, mode)
        keep(path, content, mode)

    monkeypatch.setattr(suite, "_write_privately", spy)
    secrets = {"ansible_become_password": "hush1", "ansible_password": "hush2", "deepgram_api_key": "hush3"}
    run(deployment, progress, tmp_path, small, gpu1=secrets)
    assert written["plan.json"][1] == 0o600
    assert "hush" not in repr(written) + (tmp_path / "verify.log").read_text()
    assert (tmp_path / "verify.log").stat().st_mode & 0o077 == 0


OTHERS = """
GROUPS = ("engine",)
def test_through(others, planned, host_name, expect):
    (name,) = planned["apis"]
    other = others(name)
    assert others(name).host is other.host
    expect([other.planned["desired"]["deepgram_api_port"], other.host.run("echo two").stdout.strip()], [8081, "two"], "x")

def test_elsewhere(host, expect):
    expect(1, 1, "x")
test_elsewhere.groups = ("api",)
"""


def test_a_check_may_ask_another_host_of_the_deployment(progress, tmp_path):
    """An API that is no target itself; a check's own groups count before its file's."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/test_small.py").write_text(OTHERS)
    local = {"ansible_connection": "local"}
    api = {"deepgram_parts": ["api"], "deepgram_engine_addresses": ["127.0.0.1:8080"], "deepgram_api_port": 8081}
    hosts = {
        "e1": Host("e1", "127.0.0.1", ["engine"], local | {"deepgram_parts": ["engine"]}),
        "a1": Host("a1", "127.0.0.2", ["api"], local | api),
    }
    made = Deployment(Path("inventory.ini"), hosts, list(hosts))
    checks = suite.run(made, ["e1"], progress, tmp_path / "log", tmp_path / "suite")
    assert [(check.host, check.check, check.verdict) for check in checks] == [("e1", "small.through", "pass")], checks
    checks = suite.run(made, ["a1"], progress, tmp_path / "log", tmp_path / "suite")
    assert [(check.host, check.check, check.verdict) for check in checks] == [("a1", "small.elsewhere", "pass")]


def test_another_host_s_password_reaches_the_checks_and_no_file(tmp_path):
    way = {"ansible_user": "ops", "ansible_password": "hush"}
    api = way | {"deepgram_parts": ["api"], "deepgram_engine_addresses": ["192.0.2.1:8080"]}
    hosts = {
        "e1": Host("e1", "192.0.2.1", ["engine"], {"deepgram_parts": ["engine"]}),
        "a1": Host("a1", "192.0.2.2", ["api"], api),
        "a2": Host("a2", "192.0.2.3", ["api"], {"deepgram_parts": ["api"]}),
    }
    environment = suite._plan(tmp_path, Deployment(Path("inventory.ini"), hosts, list(hosts)), ["e1"])
    assert json.loads(environment[SECRETS]) == {"a1": {"password": "hush"}}
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert (set(plan["hosts"]), set(plan["others"])) == ({"e1"}, {"a1"}) and "hush" not in json.dumps(plan)


def test_the_wheel_carries_the_whole_suite_and_runs_it(deployment, progress, tmp_path):
    """Installed, the suite finds its settings and its recording, and no checkout is near."""
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*wheel, Path(suite.HERE).parents[1]], check=True, capture_output=True)
    site = tmp_path / "site"
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(site)
    script = (
        "from pathlib import Path\n"
        "from dgctl.deployment.deployment import Deployment, Host\n"
        "from dgctl.verify import run, speech, suite\n"
        "class Deaf:\n"
        "    def host(self, *_): pass\n"
        "gone = {'ansible_connection': 'ssh', 'ansible_port': 1}\n"
        "host = Host('gone', '127.0.0.1', ['node'], gone)\n"
        "checks = run(Deployment(Path('i'), {'gone': host}, ['gone']), ['gone'], Deaf(), Path('log'))\n"
        "print(suite.HERE, len(checks), checks[0].check, checks[0].verdict, speech.Recording.shipped().seconds)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, count, check, verdict, _ = done.stdout.split()
    assert (where, check, verdict) == (str(site / "dgctl" / "verify"), "reachable", "fail")
    assert int(count) > 50
