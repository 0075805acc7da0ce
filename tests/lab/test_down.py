"""`bin/lab down` removes what an earlier run left, also where Docker was killed in between."""

import pytest

from lab import cli, home, servers, services
from lab.containers import engine


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose Docker does not run; what was done on it is in `done`."""
    place, done = home.Home(tmp_path), []
    server = servers.Server("lab-gpu1", "172.30.0.2", "lab", "node", [], "exited", "image")
    there = [server]
    monkeypatch.setattr(cli.home, "find", lambda: place)
    monkeypatch.setattr(engine, "answers", lambda: "ensure" in done)
    monkeypatch.setattr(engine, "ensure", lambda _: done.append("ensure"))
    monkeypatch.setattr(engine, "stop", lambda _: done.append("stop"))
    monkeypatch.setattr(servers, "listed", lambda *_: list(there))
    monkeypatch.setattr(servers, "remove", lambda _, missing: (there.remove(missing), done.append(missing.name)))
    monkeypatch.setattr(cli.services, "remove", lambda _: done.append("services"))
    monkeypatch.setattr(cli.network, "remove", lambda _: done.append("network"))
    return place, done


def test_a_server_that_outlived_its_docker_is_removed(machine):
    place, done = machine
    place.directory("servers", "lab-gpu1")
    cli.down(cli.parser().parse_args(["down"]))
    assert done == ["ensure", "lab-gpu1", "services", "network", "stop"]
    assert not servers.left(place)


def test_services_that_are_stopped_are_told_nothing(monkeypatch, tmp_path):
    reported = []
    monkeypatch.setattr(services, "execute", lambda *words: reported.append(words))
    for running in ("", "0123456789ab"):
        monkeypatch.setattr(services, "docker", lambda *_, running=running: running)
        services.name_servers(home.Home(tmp_path), {f"lab-gpu{len(running)}": "172.30.0.2"})
    assert reported == [(home.Home(tmp_path).services, "systemctl kill --signal=HUP dnsmasq")]
    assert "lab-gpu12.lab.test" in (tmp_path / "hosts/servers").read_text()


def test_where_no_server_was_left_docker_is_not_started(machine, capsys):
    cli.down(cli.parser().parse_args(["down"]))
    assert machine[1] == []
    assert "no lab does" in "".join(capsys.readouterr())


def test_list_tells_of_servers_that_wait_for_docker(machine, capsys):
    machine[0].directory("servers", "lab-gpu1")
    cli.show(cli.parser().parse_args(["list"]))
    assert "bin/lab down" in "".join(capsys.readouterr())
