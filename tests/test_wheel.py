"""The wheel carries what dgctl needs: playbooks, roles, plugins, the example; and nothing of the lab."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.paths import PROJECT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, PROJECT],
        check=True,
        timeout=120,
    )
    return next(folder.glob("dgctl-*.whl"))


def test_what_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for desired in (
        "dgctl/ansible/ansible.cfg",
        "dgctl/ansible/playbooks/provision.yml",
        "dgctl/ansible/roles/preflight/tasks/main.yml",
        "dgctl/ansible/roles/preflight/meta/schema.yml",
        "dgctl/content/schema/forms.yml",
        "dgctl/ansible/plugins/action/applied_state.py",
        "dgctl/ansible/plugins/filter/toml.py",
        "dgctl/ansible/inventories/example/inventory.ini",
    ):
        assert desired in names
    assert any(name.startswith("dgctl/verify/audio/") and name.endswith(".wav") for name in names)
    assert not [name for name in names if name.startswith(("lab/", "bench/", "tests/", "molecule/"))]


def test_installed_dgctl_makes_a_deployment_and_reads_its_roles(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def dgctl(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "dgctl", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert dgctl("init", "mine").returncode == 0
    main = tmp_path / "mine/group_vars/all/main.yml"
    main.write_text(main.read_text() + "\ndeepgram_relase: release-260812\n")
    run = dgctl("validate", "mine/inventory.ini")
    # The nearest right name can only come from the roles that travelled in the wheel.
    assert run.returncode == 3
    assert "deepgram_release" in run.stdout + run.stderr
