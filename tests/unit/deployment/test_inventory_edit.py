"""Edits of a deployment's files: what they change, and that they change nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from hypothesis import given, settings
from hypothesis import strategies as st

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import inventory_edit as edit

INI = """\
# servers
[node]
gpu1 ansible_host=192.0.2.11   # the first
gpu2 ansible_host=192.0.2.12 deepgram_release=release-260714 # trial
  gpu3:2222

[old]
gpu1
gpu11 note="gpu1"

[all:vars]
# deepgram_release=release-250101
deepgram_release = release-260812
ansible_user=ops
"""
HERE = Path("inventory.ini")
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)


def parsed(text: str) -> InventoryData:
    """What Ansible reads in an INI inventory."""
    path = Path("parsed.ini").absolute()
    path.write_bytes(text.encode())
    data = InventoryData()
    inventory_loader.get("ini").parse(data, DataLoader(), str(path), cache=False)
    return data


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    was = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("edit"))
    yield
    os.chdir(was)


def refused(function, *arguments):
    with pytest.raises(DgctlError) as error:
        function(*arguments)
    assert error.value.exit_code == Exit.INVALID
    (problem,) = error.value.problems
    assert problem.what and problem.where and problem.fix
    return problem


def test_a_host_goes_from_every_group_and_nothing_else_changes():
    desired = INI.replace("gpu1 ansible_host=192.0.2.11   # the first\n", "").replace("[old]\ngpu1\n", "[old]\n")
    assert edit.without_host(INI, "gpu1", HERE) == desired
    assert "gpu3" not in edit.without_host(INI, "gpu3", HERE)
    crlf = INI.replace("\n", "\r\n")
    assert edit.without_host(crlf, "gpu1", HERE) == desired.replace("\n", "\r\n")


@pytest.mark.parametrize("line", ["gpu[1:3]", "gpu[1:3] a=1", "gpu[01:10]:22", "g[o:q]u1"])
def test_a_host_within_a_range_is_refused(line):
    host = {"gpu[01:10]:22": "gpu01", "g[o:q]u1": "gpu1"}.get(line, "gpu2")
    problem = refused(edit.without_host, f"[node]\ngpu9\n{line}\n", host, HERE)
    assert problem.where == "inventory.ini:3" and "range" in problem.what
    assert edit.without_host(f"[node]\ngpu9\n{line}\n", "gpu9", HERE) == f"[node]\n{line}\n"


def test_what_is_not_there_is_said():
    assert "no line" in refused(edit.without_host, INI, "gpu4", HERE).what
    assert refused(edit.without_host, "[node:children]\ngpu4\n[a:vars]\ngpu4=1\n", "gpu4", HERE).value == "gpu4"


def test_a_yaml_inventory_is_left_to_a_person():
    assert "YAML" in refused(edit.without_host, "node: {hosts: {gpu1: {}}}\n", "gpu1", Path("inventory.yml")).what


def test_a_variable_changes_where_it_stands():
    new = edit.in_ini(INI, "deepgram_release", "release-260901", 13, HERE)
    assert new == INI.replace("deepgram_release = release-260812", "deepgram_release = release-260901")
    new = edit.in_ini(INI, "deepgram_release", "release-260901", 4, HERE)
    assert new == INI.replace("deepgram_release=release-260714 #", "deepgram_release=release-260901 #")
    assert refused(edit.in_ini, INI, "deepgram_release", "x", 0, HERE).value == "lines 4, 13"
    assert "not set" in refused(edit.in_ini, INI, "release", "x", 0, HERE).what
    assert "not set" in refused(edit.in_ini, INI, "deepgram_release", "x", 12, HERE).what


@given(NAMES, VALUES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_ansible_reads_the_value_that_was_set(name, value, on_host):
    for old in ("old", "'old one'", ""):
        text = (
            f"[node]\ngpu1 {name}={old} other='x y' # {name}=z\n"
            if on_host
            else f"[node]\ngpu1\n[all:vars]\n{name}={old}\n"
        )
        new = edit.in_ini(text, name, value, 0, HERE)
        data = parsed(new)
        assert (data.hosts["gpu1"] if on_host else data.groups["all"]).vars[name] == value
        if on_host:
            assert data.hosts["gpu1"].vars["other"] == "x y"
        back = edit.in_ini(new, name, "mark", 0, HERE)
        assert back == edit.in_ini(text, name, "mark", 0, HERE)


HOST_LINES = st.lists(st.tuples(NAMES, st.sampled_from(["", " a=1", " # b", " b='c d'", "  "])), min_size=1, max_size=8)


@given(HOST_LINES, st.sampled_from(["\n", "\r\n"]), st.data())
@settings(max_examples=60, deadline=None)
def test_ansible_sees_every_host_but_the_one_removed(hosts, end, data):
    lines = ["[node]", *(name + more for name, more in hosts), "; note", "", "[all:vars]", "x=1"]
    missing = data.draw(st.sampled_from(hosts))[0]
    text = end.join(lines) + end
    new = edit.without_host(text, missing, HERE)
    assert set(parsed(new).hosts) == {name for name, _ in hosts} - {missing}
    assert [line for line in text.splitlines() if line.split(" ")[0] != missing] == new.splitlines()


YAML = """\
---
# The release.
deepgram_release:   release-260812  # since August
deepgram_models_links:
  - https://models.example.com/a.dg   # first
other: {deepgram_release: x}
quoted: "a"
"""


def test_a_yaml_value_changes_and_its_comments_stay():
    new = edit.in_yaml(YAML, "deepgram_release", "release-260901", 0, Path("main.yml"))
    assert new == YAML.replace("release-260812", "release-260901")
    assert edit.in_yaml(YAML, "quoted", "580", 0, Path("main.yml")) == YAML.replace('"a"', "'580'")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (YAML, "deepgram_models_links"),
        (YAML, "lacking"),
        ("a: |\n  b\n", "a"),
        ("a:\n", "a"),
        ("a: !vault |\n  $ANSIBLE_VAULT;1.1\n", "a"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "a"),
        ("a: b\na: c\n", "a"),
        ("- a\n", "a"),
        ("a: [\n", "a"),
    ],
)
def test_what_needs_a_person_in_yaml(text, name):
    refused(edit.in_yaml, text, name, "x", 0, Path("main.yml"))


@given(VALUES, st.sampled_from(["old", '"old"', "'o''ld'", "5", "[x]", "{a: b}"]))
@settings(max_examples=80, deadline=None)
def test_yaml_reads_the_value_that_was_set(value, old):
    text = f"# one\nfirst: 1 # two\nname: {old}  # three\nlast: {{a: b}}\n"
    if old[0] in "[{":
        refused(edit.in_yaml, text, "name", value, 0, Path("main.yml"))
        return
    new = edit.in_yaml(text, "name", value, 0, Path("main.yml"))
    assert yaml.safe_load(new) == {"first": 1, "name": value, "last": {"a": "b"}}
    assert new.startswith("# one\nfirst: 1 # two\nname: ") and new.endswith("  # three\nlast: {a: b}\n")


def test_a_file_is_replaced_whole_with_its_rights(tmp_path):
    real, link = tmp_path / "real.ini", tmp_path / "inventory.ini"
    real.write_bytes(INI.replace("\n", "\r\n").encode() + b"# \xff\n")
    real.chmod(0o640)
    link.symlink_to(real)
    edit.write(link, edit.without_host(edit.read(link), "gpu3", link))
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes() == INI.replace("  gpu3:2222\n", "").replace("\n", "\r\n").encode() + b"# \xff\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".new")] == []


@pytest.mark.parametrize("other", [0, 1])
def test_a_file_of_another_user_stays_theirs(tmp_path, monkeypatch, other):
    path, given = tmp_path / "inventory.ini", []
    path.write_text(INI)
    mine = path.stat()
    monkeypatch.setattr(edit.os, "geteuid", lambda: mine.st_uid + other)
    monkeypatch.setattr(edit.os, "fchown", lambda _, *owner: given.append(owner))
    edit.write(path, INI)
    assert given == [(mine.st_uid, mine.st_gid)] * other


def test_the_file_decides_how_it_is_read(tmp_path):
    path = tmp_path / "group_vars" / "all" / "main"
    path.parent.mkdir(parents=True)
    path.write_text("deepgram_release: a # b\n")
    edit.set_variable(path, "deepgram_release", "c", 1)
    assert path.read_text() == "deepgram_release: c # b\n"
