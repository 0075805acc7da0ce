"""Each bad input that needs no server: one clear problem with what, where, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.deployment import deployment, vault
from tests.unit.conftest import INVENTORY, write
from tests.unit.validating import MAIN, add, only, problems


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


def test_a_valid_deployment_has_no_problem() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("name", "text", "what", "where"),
    [
        ("missing.ini", None, "does not exist", "missing.ini"),
        ("empty.ini", "\n  \n", "is empty", "empty.ini"),
        ("comments.ini", "# nothing\n", "names no server", "comments.ini"),
        ("broken.ini", "[node]\ngpu1\n[node\n", "cannot be parsed", "broken.ini:3"),
        ("words.ini", "[node]\ngpu1 address\n", "cannot be parsed", "words.ini:2"),
        ("kind.ini", "[node]\ngpu1\n\n[node:hosts_]\n", "cannot be parsed", "kind.ini:4"),
        ("lost.ini", "[node]\ngpu1\n[other:vars]\nx=1\n", "cannot be parsed", "lost.ini:3"),
        ("broken.yml", "node:\n  hosts:\n    gpu1: {x: 1\n", "cannot be parsed", "broken.yml:"),
        ("group_vars", None, "is a directory", "group_vars"),
    ],
)
def test_an_inventory_that_cannot_be_read(name: str, text: str | None, what: str, where: str) -> None:
    if text is not None:
        write(Path(name), text)
    problem = only(name)
    assert what in problem.what
    assert problem.where.startswith(where)
    assert problem.fix


@pytest.mark.parametrize(
    ("setting", "what", "fix"),
    [
        ("deepgram_relase: release-260812", "deepgram", "did you mean deepgram_release?"),
        ("ansible_hots: 192.0.2.1", "Ansible knows no variable", "did you mean ansible_host?"),
        ("ngnix_proxy_port: 443", "no variable has this name", "did you mean nginx_proxy_port?"),
        ("deepgram_model_links: []", "deepgram", "did you mean deepgram_models_links?"),
        ("_deepgram_state: x", "internal", "remove it"),
        ("nginx_proxy_prot: 443", "nginx_proxy", "did you mean nginx_proxy_port?"),
    ],
)
def test_a_misspelt_variable_names_the_nearest(setting: str, what: str, fix: str) -> None:
    add(setting + "\n")
    problem = only()
    assert what in problem.what
    assert problem.where == f"{MAIN}:4"
    assert problem.value == setting.split(":")[0]
    assert problem.fix == fix


def test_a_misspelt_variable_on_a_host_line() -> None:
    text = Path("inventory.ini").read_text().replace("192.0.2.12", "192.0.2.12 ansible_prot=22")
    Path("inventory.ini").write_text(text)
    assert only().where == "inventory.ini:3"


def test_the_users_own_variables_are_free() -> None:
    add("site_note: '{{ of_another_playbook }}'\n")
    add("company_site: berlin\nansible_python_interpreter: /usr/bin/python3\nmodels_mirror: x\n")
    assert problems() == []


def test_a_template_that_cannot_work() -> None:
    add('deepgram_release: "{{ releese }}"\n')
    problem = next(each for each in problems() if "template" in each.what)
    assert "releese" in problem.what
    assert problem.where == f"{MAIN}:4"


def test_a_group_that_is_a_slip_of_the_keys() -> None:
    write(Path("slip.ini"), Path("inventory.ini").read_text().replace("[node]", "[nodes]"))
    problem = only("slip.ini")
    assert (problem.where, problem.value, problem.fix) == ("slip.ini:1", "[nodes]", "did you mean [node]?")


def test_a_server_that_watches_needs_no_key_and_no_models() -> None:
    add("[monitoring]\nmon1 ansible_host=192.0.2.20\n", "inventory.ini")
    assert problems() == []


def test_monitoring_of_nothing() -> None:
    write(Path("mon.ini"), "[monitoring]\nmon1 ansible_host=192.0.2.20\n[all:vars]\nansible_user=ops\n")
    problem = only("mon.ini")
    assert "nothing serves [monitoring]" in problem.what and problem.where == "mon.ini:1"


@pytest.mark.parametrize("group", ["api", "engine"])
def test_half_of_a_service(group: str) -> None:
    add(f"[{group}]\ngpu9 ansible_host=192.0.2.99\n", "inventory.ini")
    problem = only()
    assert f"nothing serves [{group}]" in problem.what and problem.where == "inventory.ini:8"


@pytest.mark.parametrize("groups", [("node", "api"), ("node", "engine"), ("api", "engine")])
def test_groups_that_exclude_each_other(groups: tuple[str, str]) -> None:
    lines = [f"[{group}]\ngpu9 ansible_host=192.0.2.99\n" for group in groups]
    rest = f"[{({'api', 'engine'} - set(groups) or {'proxy'}).pop()}]\ngpu8 ansible_host=192.0.2.98\n"
    write(Path("both.ini"), "\n".join([*lines, rest]) + "[all:vars]\ndeepgram_release=release-260812\n")
    found = [each for each in problems("both.ini") if "exclude each other" in each.what]
    assert [(each.value, each.where) for each in found] == [("gpu9", "both.ini:4")]
    assert f"[{groups[0]}] and [{groups[1]}]" in found[0].what and "[node] alone" in found[0].fix


@pytest.mark.parametrize("name", ["node", "proxy", "berlin"])
def test_a_server_with_the_name_of_a_group(name: str) -> None:
    write(Path("inventory.ini"), INVENTORY.replace("gpu2 ", f"{name} ") + "[berlin]\ngpu1\n")
    problem = only()
    assert (problem.what, problem.where, problem.value) == ("a server has the name of a group", "inventory.ini:3", name)


def test_names_with_characters_that_nobody_sees() -> None:
    write(Path("inventory.ini"), INVENTORY.replace("gpu2 ", "gpu2\u200b ") + "[b\u0435rlin]\ngpu1\n")
    found = {each.what: each.where for each in problems()}
    assert found == {
        "the server's name holds U+200B (ZERO WIDTH SPACE)": "inventory.ini:3",
        "the group's name holds U+0435 (CYRILLIC SMALL LETTER IE)": "inventory.ini:8",
    }


def test_a_proxy_needs_no_key_and_no_models() -> None:
    write(
        Path("lb.ini"),
        "[node]\ngpu1 ansible_host=192.0.2.1\n[proxy]\nlb1 ansible_host=192.0.2.2\n[all:vars]\nansible_user=ops\n",
    )
    assert [problem.where for problem in problems("lb.ini") if "lb1" in problem.where] == []


def test_no_host_in_a_known_group() -> None:
    write(Path("other.ini"), "[webservers]\nweb1\n")
    assert "no server is in a group that dgctl knows" in only("other.ini").what


def test_free_groups_beside_known_ones_are_fine() -> None:
    add("[berlin]\ngpu1\n", "inventory.ini")
    assert problems() == []


def test_one_address_for_two_hosts() -> None:
    text = Path("inventory.ini").read_text().replace("192.0.2.12", "192.0.2.11")
    Path("inventory.ini").write_text(text)
    problem = only()
    assert "gpu2 and gpu1 have the same address" in problem.what
    assert (problem.where, problem.value) == ("inventory.ini:3", "192.0.2.11:22")


def test_one_address_with_two_ports_is_two_servers() -> None:
    text = Path("inventory.ini").read_text().replace("192.0.2.12", "192.0.2.11 ansible_port=2222")
    Path("inventory.ini").write_text(text)
    assert problems() == []


def test_a_host_named_twice_in_a_group() -> None:
    text = Path("inventory.ini").read_text().replace("\n\n[all", "\ngpu1 ansible_host=192.0.2.13\n\n[all")
    Path("inventory.ini").write_text(text)
    problem = only()
    assert "the host stands twice in [node]" in problem.what
    assert (problem.where, problem.value) == ("inventory.ini:4", "gpu1")


def test_a_key_that_stands_twice_in_yaml() -> None:
    add("deepgram_api_port: 1\ndeepgram_api_port: 2\n")
    problem = next(each for each in problems() if "twice" in each.what)
    assert (problem.where, problem.value) == (f"{MAIN}:5", "deepgram_api_port")


def test_a_secret_in_the_inventory() -> None:
    add("deepgram_registry_password=hunter22\n", "inventory.ini")
    problem = only()
    assert "stands in clear in the inventory" in problem.what
    assert problem.where == "inventory.ini:8"
    assert "hunter22" not in str(problem)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read(mode: int) -> None:
    Path("group_vars/all/vault.yml").chmod(mode)
    problem = only()
    assert problem.value == f"mode {mode:04o}"
    assert "chmod 600 group_vars/all/vault.yml" in problem.fix


def test_problems_come_all_together_and_shared_ones_once() -> None:
    add("deepgram_relase: x\ndeepgram_api_port: eighty\nngnix_proxy_port: 1\n")
    assert [each.where for each in problems()] == [f"{MAIN}:{line}" for line in (4, 6, 5)]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("deepgram_models_links:\n  - a\n bad: [\n", f"{MAIN}:", "did not find expected key"),
        ("- a\n- list\n", MAIN, "a mapping"),
        ("just words\n", MAIN, "a mapping"),
    ],
)
def test_a_variable_file_that_is_broken(text: str, where: str, what: str) -> None:
    write(Path(MAIN), text)
    problem = only()
    assert what in problem.what
    assert problem.where.startswith(where)
    assert problem.fix


def test_a_variable_file_that_is_no_text() -> None:
    Path(MAIN).write_bytes(b"deepgram_profile: \xff\xfe\n")
    assert MAIN in only().where


def test_a_variable_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("main.yml"))
    problem = only()
    assert (problem.what, problem.where) == ("this file cannot be read", MAIN)


def test_variables_for_a_group_that_is_nearly_right() -> None:
    write(Path("group_vars/nodes.yml"), "deepgram_api_port: 8081\n")
    problem = only()
    assert (problem.where, problem.fix) == ("group_vars/nodes.yml", "did you mean node?")


def test_variables_for_a_group_that_has_no_server_now() -> None:
    write(Path("group_vars/berlin.yml"), "deepgram_api_port: 8081\n")
    assert problems() == []


def test_windows_line_ends() -> None:
    for path in (Path("inventory.ini"), Path(MAIN)):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert problems() == []


def test_an_inventory_in_yaml() -> None:
    text = "node:\n  hosts:\n    gpu1:\n      ansible_host: 192.0.2.1\n      deepgram_relase: x\n"
    write(Path("inventory.yml"), text + "  vars:\n    deepgram_release: release-260812\n")
    problem = only("inventory.yml")
    assert (problem.where, problem.fix) == ("inventory.yml:5", "did you mean deepgram_release?")


def test_hosts_by_range() -> None:
    text = INVENTORY.replace("gpu1 ansible_host=192.0.2.11\ngpu2 ansible_host=192.0.2.12\n", "gpu[01:20].example.com\n")
    write(Path("inventory.ini"), text)
    assert problems() == []


def test_a_vaulted_value_is_no_secret_in_clear_and_opens() -> None:
    from ansible.parsing.vault import VaultLib, VaultSecret

    locked = VaultLib([("default", VaultSecret(b"open sesame"))]).encrypt("key-of-the-unit-tests").decode()
    indented = "".join(f"  {line}\n" for line in locked.splitlines())
    write(Path("group_vars/all/vault.yml"), "", 0o644)
    Path("group_vars/all/vault.yml").write_text(f"deepgram_api_key: !vault |\n{indented}")
    write(Path(".vault_pass"), "open sesame\n", 0o600)
    assert problems() == []
    write(Path(".vault_pass"), "open barley\n", 0o600)
    problem = only()
    assert problem.what.startswith("deepgram_api_key cannot be decrypted: ")
    assert problem.where == "group_vars/all/vault.yml:1"


def test_a_default_that_is_made_of_others_is_no_secret_of_its_own(root: Path) -> None:
    from dgctl.validation import secrets

    defaults = "preflight_min_cpu_cores: 4\npreflight_links_token: '{{ deepgram_models_links }}'\n"
    write(root / "roles/preflight/defaults/main.yml", defaults)
    with vault.opened(Path("inventory.ini"), (), (), False) as passwords:
        loaded = deployment.load(Path("inventory.ini"), passwords)
    assert loaded.hosts["gpu1"].vars["preflight_links_token"][0] == "https://models.example.com/nova-3.dg"
    assert secrets.values(loaded) == {"key-of-the-unit-tests"}


def test_a_lookup_of_a_variable_that_nothing_uses_is_not_run(folder: Path) -> None:
    add(f"own_note: \"{{{{ lookup('pipe', 'touch {folder}/ran') }}}}\"\n")
    assert problems() == []
    assert not (folder / "ran").exists()


def test_a_variable_of_the_users_own_is_rendered_where_a_known_one_uses_it() -> None:
    add("own_port: 8090\ndeepgram_api_port: '{{ own_port }}'\n")
    with vault.opened(Path("inventory.ini"), (), (), False) as passwords:
        host = deployment.load(Path("inventory.ini"), passwords).hosts["gpu1"]
    assert host.vars["deepgram_api_port"] == 8090


def script(text: str, mode: int = 0o755) -> str:
    write(Path("inventory.sh"), text)
    Path("inventory.sh").chmod(mode)
    return "inventory.sh"


@pytest.mark.parametrize(
    ("text", "mode", "what", "value", "fix"),
    [
        ("#!/bin/sh\necho no database >&2\nexit 3\n", 0o755, "exit code 3", "no database", "inventory.sh --list"),
        ("#!/no/such/python\nprint({})\n", 0o755, "/no/such/python is not there", "", "first line"),
        ("#!/bin/sh\necho hello\n", 0o755, "JSON", "", "inventory.sh --list"),
        ("#!/bin/sh\necho '{}'\n", 0o644, "may not be run", "", "chmod +x inventory.sh"),
    ],
)
def test_a_script_that_fails_says_why(text: str, mode: int, what: str, value: str, fix: str) -> None:
    found = only(script(text, mode))
    assert what in found.what and value in found.value and fix in found.fix, found
    assert found.where.startswith("inventory.sh")


@pytest.mark.parametrize(
    ("name", "text", "what", "where"),
    [
        ("cycle.ini", "[a:children]\nb\n[b:children]\na\n", "loop", "cycle.ini"),
        ("cycle.yml", "a: {children: {b: {children: {a: }}}}\n", "loop", "cycle.yml"),
        ("undefined.ini", "[node:children]\nracks\n", "undefined group", "undefined.ini"),
        ("quote.ini", "[node]\ngpu1 ansible_host='192.0.2.1\n", "No closing quotation", "quote.ini:2"),
        ("broken.ini", "[node]\ngpu1\n[node\n", "no closing bracket", "broken.ini:3"),
        ("mark.ini", "\ufeff[node]\ngpu1\n", "byte order mark", "mark.ini:1"),
    ],
)
def test_ansibles_own_reason_for_a_broken_inventory(name: str, text: str, what: str, where: str) -> None:
    write(Path(name), text)
    found = only(name)
    assert what in found.what and "Completely failed" not in found.what, found
    assert found.where.startswith(where) and found.fix
