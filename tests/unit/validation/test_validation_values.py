"""Values that need no server to be told wrong: one clear problem with what, where, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.conftest import write
from tests.unit.validating import MAIN, add, only, problems


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("setting", "must"),
    [
        ("deepgram_engine_gpu_required: ture", "true or false"),
        ("deepgram_api_port: eighty", "a whole number"),
        ("deepgram_api_port: 70000", "a port from 1 to 65535"),
        ("deepgram_container_engine: dokcer", "one of: docker, podman"),
        ("deepgram_image_digests: sha256", "a mapping"),
        ("deepgram_image_digests: {api: latest}", "sha256"),
        ("deepgram_release: [release-260812]", "text"),
        ("deepgram_release: latest", "like release-260812"),
        ("deepgram_stop_grace_period_s: -1", "1 or more"),
        ("nvidia_driver_branch: '58'", "a branch"),
        ("nginx_proxy_server_name: https://speech.example.com", "a host name"),
        ("deepgram_models_links: {a: 1}", "a list"),
    ],
)
def test_a_wrong_value(setting: str, must: str) -> None:
    text = Path("inventory.ini").read_text().replace("deepgram_release=release-260812\n", "")
    Path("inventory.ini").write_text(text)
    if not setting.startswith("deepgram_release"):
        add("deepgram_release: release-260812\n")
    if setting.startswith("deepgram_models_links"):
        write(Path(MAIN), "deepgram_release: release-260812\n")
    add(setting + "\n")
    problem = only()
    assert must in problem.what
    assert problem.where.startswith(MAIN + ":")
    assert problem.fix


def test_ini_text_is_converted_as_ansible_does() -> None:
    add("deepgram_engine_gpu_required=yes\ndeepgram_api_port=8081\n", "inventory.ini")
    assert problems() == []
    write(Path("inventory.ini"), Path("inventory.ini").read_text().replace("=yes", "=ture"))
    found = [each for each in problems() if "true or false" in each.what]
    assert [(each.where, each.value) for each in found] == [("inventory.ini:8", "ture")]


def test_a_value_that_only_the_server_can_render_is_left_to_it() -> None:
    add("deepgram_api_port: \"{{ ansible_facts['processor_count'] + 8000 }}\"\n")
    assert problems() == []


@pytest.mark.parametrize(
    ("remove", "name"),
    [
        ("deepgram_release=release-260812\n", "deepgram_release"),
        ("deepgram_models_links", "deepgram_models_links"),
    ],
)
def test_missing_settings(remove: str, name: str) -> None:
    path = Path("inventory.ini") if "=" in remove else Path(MAIN)
    path.write_text("" if path.name == "main.yml" else path.read_text().replace(remove, ""))
    assert {each.what for each in problems()} == {f"{name} is not set"}
    assert all(each.fix.startswith("set it in group_vars/all/main.yml: ") for each in problems())


def test_a_missing_key_names_the_file_to_put_it_in() -> None:
    Path("group_vars/all/vault.yml").unlink()
    found = problems()
    assert {each.where for each in found} == {"gpu1", "gpu2"}
    assert all("group_vars/all/vault.yml" in each.fix for each in found)
    assert not any("main.yml" in each.fix for each in found), "a key does not belong into a plain file"


def test_an_empty_key() -> None:
    write(Path("group_vars/all/vault.yml"), 'deepgram_api_key: ""\n', 0o600)
    assert only().where == "group_vars/all/vault.yml:1"


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("http://models.example.com/a.dg", "must be an https:// URL"),
        ("https://models.example.com/", "must end in a file name"),
        ("{url: 'https://models.example.com/a.dg', sha256: abc}", "64 hex digits"),
        ("https://elsewhere.example.com/nova-3.dg", "same file name"),
    ],
)
def test_a_wrong_model_link_is_named_by_its_own_line(link: str, what: str) -> None:
    add(f"  - {link}\n")
    found = problems()
    assert all(what in each.what for each in found)
    assert f"{MAIN}:4" in {each.where for each in found}


def test_a_signed_link_is_shown_without_its_signature() -> None:
    add("  - http://models.example.com/a.dg?signature=secret\n")
    assert only().value == "http://models.example.com/a.dg"


def test_ports_that_meet() -> None:
    add("deepgram_metrics_port: 8080\n")
    assert "the same port" in only().what


def test_an_unfilled_placeholder() -> None:
    write(Path("group_vars/all/vault.yml"), "---\ndeepgram_api_key: CHANGE_ME\n", 0o600)
    problem = only()
    assert problem.what == "deepgram_api_key is not filled in"
    assert problem.where == "group_vars/all/vault.yml:2"


def test_a_driver_version_of_another_branch() -> None:
    add("nvidia_driver_version: 570.1.2\n")
    assert "not of the branch 580" in only().what


def test_a_private_key_pasted_where_a_path_belongs_is_not_shown() -> None:
    add("deepgram_engine_gpu_required: |\n  -----BEGIN PRIVATE KEY-----\n  c2VjcmV0\n  -----END PRIVATE KEY-----\n")
    assert "c2VjcmV0" not in str(only())


@pytest.mark.parametrize(
    ("settings", "what", "value", "fix"),
    [
        ("deepgram_api_port:\n", "is set to nothing (null)", "", "or remove the line"),
        ("deepgram_models_links: https://x.example.com/a.dg\n", "must be a list", "https://x", "in brackets"),
        ("deepgram_models_links: [{url: 'https://x.example.com/a.dg', sha265: a}]\n", "no key", "sha265", "sha256?"),
        ("nginx_proxy_client_max_body_size: 2 GB\n", "a size as NGINX writes it", "2 GB", "give 2G"),
        ("nginx_proxy_client_max_body_size: 2g; return 200\n", "a size as NGINX", "2g; return 200", "the size alone"),
        ("deepgram_api_environment: {DEBUG: true}\n", "environment.DEBUG must be text", "True", "in quotes"),
        ("deepgram_region: no\n", "deepgram_region must be one word", "False", "in quotes"),
        ("nginx_proxy_status_allow: [192.0.2.1/24]\n", "status_allow[0] must be", "192.0.2.1/24", "clear the address's"),
        ("deepgram_verify_model: n\u043eva-3\n", "deepgram_verify_model must be", "n\u043eva-3", "U+043E (CYRILLIC"),
        ("deepgram_verify_model: nova-3\u200b\n", "holds U+200B (ZERO WIDTH SPACE)", "nova-3", "type the value again"),
        ("deepgram_rel\u0435ase: release-260812\n", "U+0435", "deepgram_rel\u0435ase", "deepgram_release"),
        ("deepgram_hung_stop_s: 30\ndeepgram_stop_grace_period_s: 20\n", "is above", "30", "give 20 or less"),
        ("deepgram_registry_username: dg\n", "is set, and deepgram_registry_password is not", "dg", "set deepgram_registry"),
        ("deepgram_metrics_port: 22\n", "ansible_port are the same port", "22", "its own"),
        ("deepgram_min_serving: 3\n", "is above the number of servers (2)", "3", "give 1 or less"),
    ],
)  # fmt: skip
def test_a_value_that_was_once_taken_in_silence(settings: str, what: str, value: str, fix: str) -> None:
    if settings.startswith("deepgram_models_links"):
        write(Path(MAIN), "")
    add(settings)
    problem = only()
    assert what in problem.what and value in problem.value and fix in problem.fix, problem
    assert problem.where.startswith(f"{MAIN}:"), problem


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ("nginx_proxy_upload_buffer_gb: 2\n", "set nginx_proxy_upload_buffer_gb to 3 or more, or to 0"),
        ("nginx_proxy_callers: keys\nnginx_proxy_client_max_body_size: 20g\n", "to 22 or more, or to 0"),
        ("nginx_proxy_upload_buffer_gb: 3\n", ""),
        ("nginx_proxy_upload_buffer_gb: 0\nnginx_proxy_client_max_body_size: 20g\n", ""),
    ],
)
def test_the_largest_file_has_room_in_the_file_system_of_uploads(settings: str, fix: str) -> None:
    add(f"nginx_proxy_request_buffering: true\n{settings}")
    found = [(each.what, each.fix) for each in problems()]
    assert len(found) == bool(fix) and all(fix in each[1] and "no room for one file" in each[0] for each in found), (
        found
    )


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("ops@192.0.2.11", "give 192.0.2.11; the user belongs into ansible_user: ops"),
        ("192.0.2.11:2222", "give 192.0.2.11; the port belongs into ansible_port: 2222"),
        ("ops:hush@192.0.2.11", "give 192.0.2.11; the user belongs into ansible_user: ops"),
        ("-oProxyCommand=id", "options belong into ansible_ssh_extra_args"),
        ("192.0.2.0/24", "this is a network"),
        ("0.0.0.0", "give the server's own address"),
        ("192.0.2.300", "four numbers from 0 to 255"),
    ],
)
def test_an_address_that_is_more_or_less_than_one(address: str, fix: str) -> None:
    text = Path("inventory.ini").read_text().replace("192.0.2.12", f"'{address}'")
    Path("inventory.ini").write_text(text)
    problem = only()
    assert problem.what == "ansible_host must be a host name or an IP address" and problem.where == "inventory.ini:3"
    assert fix in problem.fix and "hush" not in str(problem), problem


def test_every_pair_of_ports_on_a_server_is_compared_where_their_addresses_meet() -> None:
    ports = ["deepgram_api_port", "deepgram_metrics_port", "nginx_proxy_port"]
    for one in ports:
        for other in ports[: ports.index(one)]:
            write(Path("host_vars/gpu1.yml"), f"{one}: 7000\n{other}: 7000\n")
            assert "are the same port" in only().what and {one, other} <= set(only().what.replace(",", "").split())
    write(Path("host_vars/gpu1.yml"), "deepgram_api_port: 7000\ndeepgram_metrics_port: 7000\n")
    add("deepgram_metrics_bind_address: 127.0.0.2\n")
    assert problems() == [], "two addresses of one server have a port 7000 each"


def test_equal_values_of_many_servers_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from dgctl.content.schema import faults

    judged: list[str] = []
    real = faults.faults
    monkeypatch.setattr(faults, "faults", lambda variable, value: judged.append(variable.name) or real(variable, value))
    add("deepgram_api_port: 8081\n")
    assert problems() == [] and judged.count("deepgram_api_port") == 1
