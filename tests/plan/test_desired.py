"""A fingerprint changes with everything that its role can see, and with nothing else."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from dgctl.content import roles
from dgctl.plan.desired import Desired, _digest, _slow_digest, differences
from tests.paths import PROJECT
from tests.unit.conftest import write
from tests.unit.validating import read, set_variable


def fingerprints(name: str = "gpu1") -> dict[str, str]:
    """Role -> fingerprint, read again."""
    roles._role.cache_clear()
    deployment = read()
    return {role: reported["fingerprint"] for role, reported in Desired(deployment).of(deployment.hosts[name]).items()}


def differing(before: dict[str, str]) -> set[str]:
    after = fingerprints()
    return {role for role in before.keys() | after.keys() if before.get(role) != after.get(role)}


def test_the_roles_of_a_host_in_their_order(small: Path) -> None:
    assert list(fingerprints()) == ["docker", "deepgram", "nginx_proxy"]
    set_variable("deepgram_container_engine: podman")
    assert list(fingerprints()) == ["podman", "deepgram", "nginx_proxy"]


@pytest.mark.parametrize(
    ("variable", "roles_that_see_it"),
    [
        ("nginx_proxy_port: 8443", {"nginx_proxy"}),
        ("deepgram_release: release-2", {"deepgram"}),
        ("docker_log_max_size: 1m", {"docker"}),
        ("ansible_user: other", set()),
        ("of_nobody: 1", set()),
    ],
)
def test_a_variable_changes_the_roles_that_use_it(small: Path, variable: str, roles_that_see_it: set[str]) -> None:
    write(small / "roles" / "docker" / "defaults" / "main.yml", "docker_log_max_size: 100m\n")
    before = fingerprints()
    set_variable(variable)
    if variable.startswith("deepgram_release"):  # the inventory's own value wins over group_vars/all
        inventory = Path("inventory.ini")
        inventory.write_text(inventory.read_text().replace("release-260812", "release-2"))
    assert differing(before) == roles_that_see_it


def test_a_variable_inside_a_variable_counts(small: Path) -> None:
    set_variable("size: 1m\ndocker_log_max_size: '{{ size }}'")
    before = fingerprints()
    path = Path("group_vars/all/main.yml")
    path.write_text(path.read_text().replace("size: 1m", "size: 2m"))
    assert differing(before) == {"docker"}


def test_the_role_s_own_files_count_and_its_modules(small: Path) -> None:
    before = fingerprints()
    path = small / "roles" / "nginx_proxy" / "templates" / "site.conf.j2"
    write(path, "listen 443;\n")
    assert differing(before) == {"nginx_proxy"}
    assert roles.role("nginx_proxy").content != ""


def test_modules_count_with_what_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    files = roles._plugins(frozenset({"model_files", "model_links", "applied_state"}))
    used = {str(path.relative_to(PROJECT / "plugins")) for path in files}
    assert {"modules/model_files.py", "filter/model_links.py"} <= used
    assert {f"module_utils/deepgram/{name}.py" for name in ("__init__", "models", "download")} <= used
    assert not used & {
        "modules/applied_state.py",
        "action/applied_state.py",
        "module_utils/look/things.py",
        "filter/toml.py",
    }


def test_a_file_of_this_machine_counts(small: Path, tmp_path: Path) -> None:
    certificate = write(tmp_path / "tls.crt", "one\n")
    set_variable(f"nginx_proxy_tls_certificate: {certificate}")
    before = fingerprints()
    os.utime(certificate, (1, 1))
    assert differing(before) == set()
    certificate.write_text("two\n")
    assert differing(before) == {"nginx_proxy"}


def test_another_server_counts_for_a_role_that_reads_it(small: Path) -> None:
    write(small / "roles" / "docker" / "tasks" / "more.yml", "- thing: '{{ groups.node | map(\"x\", hostvars) }}'\n")
    before = fingerprints()
    inventory = Path("inventory.ini")
    inventory.write_text(inventory.read_text().replace("gpu2 ", "gpu2 docker_log_max_size=5m "))
    assert differing(before) == {"docker"}


def test_a_secret_is_a_digest_and_still_counts(small: Path) -> None:
    deployment = read()
    reported = json.dumps(Desired(deployment).of(deployment.hosts["gpu1"]))
    assert "key-of-the-unit-tests" not in reported
    before = fingerprints()
    vault = Path("group_vars/all/vault.yml")
    vault.write_text("deepgram_api_key: another-key-of-the-tests\n")
    assert differing(before) == {"deepgram"}


def test_the_signature_of_a_link_is_no_text(small: Path) -> None:
    write(small / "roles" / "deepgram" / "tasks" / "more.yml", "- thing: '{{ deepgram_models_links }}'\n")
    deployment = read()
    reported = json.dumps(Desired(deployment).of(deployment.hosts["gpu1"]))
    assert "signature=abc" not in reported
    assert "nova-2.dg?" in reported


def test_what_only_facts_can_tell_is_not_settled(small: Path) -> None:
    set_variable("docker_log_max_size: \"{{ ansible_facts['memtotal_mb'] }}m\"")
    deployment = read()
    desired = Desired(deployment)
    assert desired.unsettled(roles.role("docker"), deployment.hosts["gpu1"]) == ["docker_log_max_size"]
    assert desired.unsettled(roles.role("deepgram"), deployment.hosts["gpu1"]) == []


def test_differences_by_variable() -> None:
    before = {"variables": {"a": 1, "b": 2, "gone": 3}}
    assert list(differences(before, {"variables": {"a": 1, "b": 5, "new": 6}})) == [
        ("b", 2, 5), ("gone", 3, None), ("new", None, 6),
    ]  # fmt: skip


def imported(path: Path) -> set[Path]:
    """The files of module_utils that a Python file imports, by Python's own grammar."""
    folder, names = PROJECT / "plugins/module_utils", set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ansible.module_utils"):
            dotted = node.module.split(".")[2:]
            names |= {
                (*dotted[:number], end)
                for number in range(len(dotted) + 1)
                for end in ("__init__", *dotted[number:][:1])
            }
            names |= {(*dotted, alias.name) for alias in node.names}
    files = {folder.joinpath(*name).with_suffix(".py") for name in names}
    return {file for file in files if file.is_file()}


@pytest.mark.parametrize("module", sorted((PROJECT / "plugins/modules").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_module_imports_counts_with_it(module: Path) -> None:
    desired, waiting = set(), [module]
    while waiting:
        found = imported(waiting.pop()) - desired
        desired |= found
        waiting += found
    if not module.stem.startswith("applied_"):
        action = (PROJECT / "plugins/action").glob(f"{module.stem}.py")
        assert set(roles._plugins(frozenset({module.stem}))) == {module, *action, *desired}


def test_the_digest_of_a_secret_is_the_same_in_every_version() -> None:
    """It lies on every server: with another one, every secret would look changed everywhere, and services restart.

    Made by OpenSSL 3.0: openssl kdf -keylen 24 -kdfopt pass:'"hush"' -kdfopt salt:'dgctl deepgram_api_key' -kdfopt n:8192
    -kdfopt r:8 -kdfopt p:1 SCRYPT
    """
    assert _slow_digest("deepgram_api_key", '"hush"') == "c3cd5dae11e9c6a1785fb1f2a2142dd4960acebc00f040be"
    assert _digest({"b": [1, "ä"], "a": None}) == "3d6f860d37ce3698439a31ccd5d721f57e8889f75dc14452fbc35f95d3f3a405"


def test_the_digests_of_a_role_s_variables_are_the_same_in_every_version(small: Path) -> None:
    write(small / "roles" / "deepgram" / "tasks" / "more.yml", "- thing: '{{ deepgram_models_links }}'\n")
    deployment = read()
    reported = Desired(deployment).of(deployment.hosts["gpu1"])["deepgram"]
    assert reported["variables"]["deepgram_api_key"] == {"secret": "573fff9e94185799bab7190238fe6f78872ec76eabdd0f8c"}
    assert reported["variables"]["deepgram_models_links"][1] == {
        "url": "https://models.example.com/nova-2.dg?ebdda5a28e1b"
    }
    assert reported["fingerprint"] == _digest({name: reported[name] for name in ("content", "variables")})
