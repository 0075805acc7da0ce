"""The Ansible collection that bin/collection makes: what is in it, its names, and that its roles and modules run by them."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.paths import PROJECT

spec = importlib.util.spec_from_file_location("collection_build", PROJECT / "collection/build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

HOST = "gpu1 ansible_connection=local ansible_python_interpreter={python}"
# The deepgram role's own task of files, in a folder that is not the machine's: its filters, templates, vars and module.
PLAYBOOK = """\
- name: A play of the user's own
  hosts: node
  gather_facts: false
  roles: [dgctl.selfhosted.platform]
  vars:
    image: {reference: registry.example/engine, id: "sha256:1"}
  tasks:
    - name: Files
      ansible.builtin.include_role: {name: dgctl.selfhosted.deepgram, tasks_from: files}
      vars:
        __deepgram_images: {images: {engine: "{{ image }}", api: "{{ image }}"}, driver_version: ""}
    - name: Which system
      dgctl.selfhosted.host_files:
        files: [{path: "{{ _deepgram_dir }}/system", content: "{{ {'name': _platform_system.name} | dgctl.selfhosted.to_toml }}"}]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return build.build(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="module")
def files(archive) -> dict[str, str]:
    """Path in the collection -> text."""
    with tarfile.open(archive) as opened:
        return {one.name: opened.extractfile(one).read().decode() for one in opened.getmembers() if one.isfile()}


@pytest.fixture(scope="module")
def ansible(archive, tmp_path_factory):
    """ansible(program, *arguments) -> what it printed, where the collection is installed and the checkout unknown."""
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_PIPELINING": "1",
    }

    def run(program, *arguments):
        command = [Path(sys.executable).with_name(program), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("ansible-galaxy", "collection", "install", "--offline", "-p", folder, archive)
    return run


def test_what_is_in_it(files):
    tops = {name.partition("/")[0] for name in files}
    own = {"MANIFEST.json", "FILES.json", "README.md", "LICENSE", "CHANGELOG.md", "requirements.txt", "meta"}
    assert tops == own | {"roles", "plugins", "playbooks"}
    assert not [name for name in files if "__pycache__" in name or "plugins/callback" in name]
    roles = {path.name for path in (PROJECT / "roles").iterdir()}
    assert {name.split("/")[1] for name in files if name.startswith("roles/")} == roles


def test_it_says_what_pyproject_says(files):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    manifest = json.loads(files["MANIFEST.json"])["collection_info"]
    reported = (manifest["version"], manifest["license"], manifest["authors"])
    assert reported == (project["version"], [project["license"]], [author["name"] for author in project["authors"]])
    dependencies = "\n".join(project["dependencies"])
    core = re.findall(r"[\d.]+", yaml.safe_load(files["meta/runtime.yml"])["requires_ansible"])
    assert [number.removesuffix(".0") for number in core] == re.findall(
        r"[\d.]+", next(line for line in dependencies.splitlines() if line.startswith("ansible-core"))
    )
    for line in files["requirements.txt"].split():
        assert line in dependencies


def left(files: dict[str, str]) -> list[tuple[str, str]]:
    """(file, line) of every short name in what Ansible reads of a collection, which it would not find there."""
    filters, modules, roles = build.FILTERS, build.MODULES, build.ROLES
    short = {
        "plugins/": rf"ansible\.module_utils\.{build.UTILITIES}\b",
        "plugins/modules/": rf"^  - {build.FRAGMENTS}(\.|$)",
        "tasks/": rf"^ *(- )?{modules}:|\| *{filters}\b",
        "playbooks/": rf"^ *(- )?{modules}:|\| *{filters}\b|^ *- (role: )?{roles}$|_role:\n +name: (?!\"?dgctl\.)",
        "vars/": rf"\| *{filters}\b",
        "defaults/": rf"\| *{filters}\b",
        "templates/": rf"\| *{filters}\b",
        "meta/main.yml": rf"^ *- role: {roles}$",
    }
    return [
        (name, found[0])
        for name, text in files.items()
        for part, pattern in short.items()
        if part in name
        for found in re.finditer(pattern, text, re.MULTILINE)
    ]


def test_every_name_is_a_full_one(files):
    assert left(files) == []
    checkout = {
        str(p.relative_to(PROJECT)): p.read_text() for f in ("roles", "plugins", "playbooks") for p in _texts(f)
    }
    parts = {name.split("/")[0] for name, _ in left(checkout)}
    assert parts == {"roles", "plugins", "playbooks"}, "the patterns find nothing any more"


def _texts(folder: str) -> list[Path]:
    return [path for path in (PROJECT / folder).rglob("*") if path.suffix in build.TEXTS]


def test_every_module_is_documented(ansible):
    names = {f"{build.FULL}.{path.stem}" for path in PROJECT.glob("plugins/modules/*.py")}
    reported = json.loads(ansible("ansible-doc", "--type=module", "--json", *sorted(names)))
    assert {name for name, page in reported.items() if page["doc"]["options"] or page["examples"]} == names
    short = {
        name
        for name, page in reported.items()
        if re.search(rf"^ +{build.MODULES}:(?=$| \{{)", page["examples"] or "", re.M)
    }
    assert short == set()


def test_a_playbook_of_one_s_own_runs_role_and_module_by_their_full_names(ansible, tmp_path):
    (tmp_path / "inventory.ini").write_text(f"[node]\n{HOST.format(python=sys.executable)}\n")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    given = {
        "_platform_key": "debian13",  # whatever this machine has
        "_deepgram_dir": str(tmp_path / "etc"),
        "_deepgram_quadlet_dir": str(tmp_path / "units"),
        "deepgram_container_engine": "podman",
        "deepgram_release": "release-260812",
        "deepgram_api_key": "abc123",
    }
    ansible("ansible-playbook", "-i", tmp_path / "inventory.ini", "-e", json.dumps(given), tmp_path / "site.yml")
    assert (tmp_path / "etc/system").read_text() == 'name = "Debian 13"\n'
    assert tomllib.loads((tmp_path / "etc/engine/engine.toml").read_text())["metrics_server"]["port"] == 9991
    assert "registry.example/engine" in (tmp_path / "units/deepgram-engine.container").read_text()
    assert (tmp_path / "etc/deepgram.env").stat().st_mode & 0o777 == 0o600


def test_its_playbooks_run_by_name(ansible, tmp_path):
    (tmp_path / "inventory.ini").write_text("[node]\ngpu1\n[all:vars]\ndeepgram_release=r\ndeepgram_api_key=k\n")
    reported = ansible("ansible-playbook", "-i", tmp_path / "inventory.ini", "--list-tasks", f"{build.FULL}.provision")
    assert f"{build.FULL}.monitoring : Run Prometheus" in reported
    assert f"{build.FULL}.preflight : Look at everything at once" in reported


def test_a_program_for_servers_is_the_same_from_the_collection_as_from_the_checkout(archive, tmp_path):
    """A server has neither: what the program carries is imported by names that do not depend on where it was made."""
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path)
    texts = []
    for folder in (PROJECT, tmp_path):
        found = importlib.util.spec_from_file_location("made", folder / "plugins/filter/python_program.py")
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        texts.append(module.python_program("watch.main"))
    assert texts[0] == texts[1] and "ansible_collections" not in texts[0]
