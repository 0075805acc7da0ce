"""How many servers of each group an `up` leaves, their names, and the inventory that says so."""

import pytest

from lab import cli, inventory, topology
from lab.servers import Server


@pytest.mark.parametrize(
    ("asked", "present", "expected"),
    [
        ({}, {}, {"node": 1}),
        ({}, {"node": 2, "proxy": 1}, {"node": 2, "proxy": 1}),
        ({"proxy": 1}, {}, {"node": 1, "proxy": 1}),
        ({"node": 3}, {"node": 1, "proxy": 1}, {"node": 3, "proxy": 1}),
        ({"api": 1, "engine": 2}, {}, {"api": 1, "engine": 2}),
        ({"proxy": 1}, {"api": 1, "engine": 2}, {"api": 1, "engine": 2, "proxy": 1}),
        ({"node": 0, "proxy": 1}, {}, {"proxy": 1}),
    ],
)
def test_how_many_servers(asked, present, expected):
    found = topology.counts(asked, present)
    assert {name: count for name, count in found.items() if count} == expected


def test_names_say_lab_group_and_home():
    named = topology.names("west", "-abc123", {"node": 2, "license_proxy": 1})
    assert {name: group.name for name, group in named.items()} == {
        "west-gpu1-abc123": "node",
        "west-gpu2-abc123": "node",
        "west-license1-abc123": "license_proxy",
    }


def server(name, group):
    return Server(name, "192.0.2.1", "west", group, [], "running", "")


def test_an_inventory_has_a_section_for_each_group_with_servers():
    text = inventory.sections(
        [server("west-gpu1", "node"), server("west-gpu2", "node"), server("west-proxy1", "proxy")]
    )
    assert text == (
        "[node]\nwest-gpu1 ansible_host=192.0.2.1\nwest-gpu2 ansible_host=192.0.2.1\n\n"
        "[proxy]\nwest-proxy1 ansible_host=192.0.2.1\n\n"
    )


def test_a_changed_release_stays(tmp_path):
    path = tmp_path / "inventory.ini"
    assert inventory._release(path) == inventory.RELEASE
    path.write_text(inventory.INVENTORY.format(lab="x", groups="", key="k", known_hosts="h", release="release-260714"))
    assert inventory._release(path) == "release-260714"


def test_the_container_engine_and_the_count_of_engines_are_two_options():
    options = cli.parser().parse_args(["up", "--nodes", "2", "--license-proxies", "1"])
    assert (options.engine, options.count_engine, options.count_node) == ("docker", None, 2)
    options = cli.parser().parse_args(["up", "--engine", "podman", "--engines", "3"])
    assert (options.engine, options.count_engine) == ("podman", 3)


def test_images_of_an_earlier_registry_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(inventory.servers, "listed", lambda home, lab: [])
    monkeypatch.setattr(inventory.servers, "known_hosts", lambda home: "known_hosts")
    monkeypatch.setattr(inventory.keys, "client_key", lambda home: "key")
    monkeypatch.setattr(inventory, "_write_vault", lambda *of: None)
    monkeypatch.setattr(inventory, "_secrets", lambda *of: {})
    (tmp_path / "images.lock").write_text("registry.lab.test:5000/deepgram/self-hosted-api:release-260812 sha256:0\n")
    written = inventory.write(None, "x", tmp_path, inventory.Said("docker", "", [], None))
    assert written.exists() and not (tmp_path / "images.lock").exists()
