"""Modules under the Pythons that hosts have: imported, and tested, by each that this machine has."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PROJECT
from tests.pythons.environment import environment, module_utils, python_with_pytest
from tests.pythons.found import FLOOR, OWN, SUPPORTED, interpreter
from tests.pythons.selection import of_hosts

HOSTS = (
    *("plugins/modules", "plugins/module_utils", "roles/host_firewall/files", "roles/nginx_proxy/files"),
    "roles/host_metrics/files/exporter",
)
IMPORT = """
import glob, importlib, os, sys, traceback
import ansible.module_utils
ansible.module_utils.__path__.append("plugins/module_utils")
sys.path.append("plugins/modules")
for path in sorted(glob.glob("plugins/modules/*.py") + glob.glob("plugins/module_utils/**/*.py", recursive=True)):
    name = path[:-3].split(os.sep, 2)[2].replace(os.sep, ".").replace(".__init__", "")
    try:
        importlib.import_module("ansible.module_utils." * ("module_utils" in path) + name)
    except Exception:
        print(path, traceback.format_exc().splitlines()[-1])
print(len(sys.modules) > 100)
"""


@pytest.fixture(params=SUPPORTED)
def version(request) -> str:
    if not interpreter(request.param):
        pytest.skip(f"this machine has no Python {request.param}: vermin alone guards it")
    return request.param


@pytest.fixture
def oldest(version) -> str:
    """The oldest that is here; with `bin/test --all` every one. Between them lie only Pythons that can do more."""
    found = next(each for each in SUPPORTED if interpreter(each))
    if version != found and not os.environ.get("DGCTL_TEST_ALL"):
        pytest.skip(f"bin/test --all runs it: Python {found} is the oldest here")
    return version


@pytest.fixture
def packed(tmp_path) -> Path:
    return module_utils(tmp_path)


def test_every_module_is_imported(version, packed):
    done = subprocess.run(
        [interpreter(version), "-c", IMPORT], cwd=PROJECT, env=environment(packed), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_the_tests_of_modules_pass(oldest, version, packed, tmp_path):
    if version == OWN:
        pytest.skip("these tests run under it anyway")
    python = python_with_pytest(interpreter(version), version)
    words = ["-q", "-p", "no:cacheprovider", "-m", "not controller_only", f"--basetemp={tmp_path}/tests"]
    done = subprocess.run(
        [python, "-m", "pytest", *words, *of_hosts()],
        cwd=PROJECT,
        env=environment(packed, PROJECT) | {"DGCTL_TEST_EXAMPLES": "5"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(done.stdout.splitlines()[-1].split(" passed")[0].split()[-1]) > 300


def test_looks_are_answered(oldest, version):
    """The look, as dgctl sends it over SSH, run by the host's Python; the test itself by the controller's."""
    if interpreter(version) and version not in SUPPORTED[: SUPPORTED.index(OWN)]:
        pytest.skip("no older than the Python of these tests")
    words = ["-q", "-p", "no:cacheprovider", "-m", "not controller_only", "tests/applied", "-k", "look or files or tls"]
    mine = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=PROJECT,
        env=mine | {"DGCTL_TEST_HOST_PYTHON": interpreter(version)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_tests_of_modules_are_found():
    """What is no host's is left out by what it imports, and nothing else is."""
    chosen = of_hosts()
    assert {"tests/roles_app/deepgram/test_model_files.py", "tests/doctor/test_faults.py"} <= set(chosen)
    assert not {"tests/roles_app/deepgram/test_templates.py", "tests/roles_app/firewall/test_firewall.py"} & set(chosen)
    assert len(chosen) > 45


def test_nothing_needs_a_newer_python_than_the_floor():
    floor = "{}.{}-".format(*FLOOR)
    program = Path(sys.executable).with_name("vermin")
    words = [program, f"-t={floor}", "--violations", "--no-tips", "--no-parse-comments"]
    done = subprocess.run([*words, *HOSTS], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_timeout_is_caught_by_both_of_its_names():
    """Before Python 3.10 socket.timeout is no TimeoutError, and no version checker sees the difference."""
    for path in sorted(path for place in HOSTS for path in (PROJECT / place).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type:
                names = {ast.unparse(part) for part in getattr(node.type, "elts", [node.type])}
                alone = "TimeoutError" in names and not {"OSError", "socket.timeout"} & names
                assert not alone, f"{path}:{node.lineno}: catch (socket.timeout, TimeoutError)"
