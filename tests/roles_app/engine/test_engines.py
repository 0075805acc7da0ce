"""How containers are started, kept over a boot, dropped and left: the commands of Docker and of Podman, in their order."""

import os
from pathlib import Path

import pytest
from ansible.module_utils.deepgram import engines
from ansible.module_utils.deepgram.containers import CommandFailed
from ansible.module_utils.host import systemd

from tests.roles_app.conftest import load, results

SERVICE = load("modules", "deepgram_service")
UP = "up --detach --no-build --pull never"


def view(number=1, running=True, **more):
    return {"id": f"i{number}", "started_at": f"t{number}", "running": running, "started": 100.0, "pid": 7, **more}


class Host:
    """What the programs answer by how their command starts, and which were run."""

    def __init__(self, tmp_path, monkeypatch):
        self.asked, self.answers, self.folder = [], {}, tmp_path
        self.silent, self.stale, self.blind, self.reproached, self.strange = [], [], [], [], []
        self.units = {"deepgram.service": {"ActiveState": "active", "UnitFileState": "enabled"}}
        self.unread, self.reloads_help = set(), True
        for name, folder in (("UNITS", "units"), ("QUADLETS", "quadlets")):
            (tmp_path / folder).mkdir()
            monkeypatch.setattr(engines, name, str(tmp_path / folder))
        monkeypatch.setattr(engines, "run", self.run)
        monkeypatch.setattr(engines, "properties", lambda unit, *names: dict(self.units.get(unit, {})))
        monkeypatch.setattr(engines, "unread", lambda unit: unit in self.unread)
        monkeypatch.setattr(engines, "hung", lambda urls, names, *_: [name for name in names if name in self.silent])
        monkeypatch.setattr(engines, "_there", lambda engine, names: {name: view() for name in names})
        for name, found in (("stale", "stale"), ("blind", "blind"), ("reproached", "reproached")):
            monkeypatch.setattr(engines, name, lambda *_, found=found: list(getattr(self, found)))
        monkeypatch.setattr(engines, "strangers", lambda _: list(self.strange))

    def run(self, argv, timeout=120, check=True):
        words = " ".join(argv)
        words = words.replace(f"docker compose --project-directory {self.folder}", "compose")
        self.asked.append(words)
        if words == "systemctl daemon-reload" and self.reloads_help:
            self.unread = set()
        rc, out, err = next((answer for start, answer in self.answers.items() if words.startswith(start)), (0, "", ""))
        if check and rc:
            raise CommandFailed(err)
        return rc, out, err

    def engine(self, kind, check_mode=False, **more):
        params = {
            "directory": str(self.folder),
            "files": {"engine": [], "api": []},
            "urls": {"engine": "http://e", "api": "http://a"},
            "stop_timeout_s": 7,
            **more,
        }
        return engines.ENGINES[kind](params, check_mode)


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


BOTH = {"engine": view(1), "api": view(2)}


@pytest.mark.parametrize(
    ("due", "state", "containers", "asked"),
    [
        ({"api"}, {}, BOTH, [f"compose {UP}"]),
        ({"engine"}, {}, BOTH, ["compose stop api", f"compose {UP}"]),  # the API first, whose requests it serves
        ({"engine", "api"}, {}, {"engine": None, "api": None}, [f"compose {UP}"]),
        ({"engine"}, {}, {"engine": view(1)}, [f"compose {UP}"]),
        (
            {"engine"},
            {"stale": ["engine"]},
            BOTH,
            ["compose stop api", f"compose {UP} --force-recreate engine", f"compose {UP}"],
        ),
        ({"api"}, {"silent": ["api", "engine"]}, BOTH, ["docker rm --force deepgram-api", f"compose {UP}"]),
        (
            {"api", "engine"},
            {"blind": ["engine"], "reproached": ["api"]},
            BOTH,
            ["compose stop api", f"compose {UP} --force-recreate api engine", f"compose {UP}"],
        ),
    ],
)
def test_compose_starts_what_is_due(host, due, state, containers, asked):
    vars(host).update(state)
    host.engine("docker").restart(due, containers)
    assert host.asked == asked


@pytest.mark.parametrize(
    ("reported", "state", "due"),
    [
        (" DRY-RUN MODE -  Container deepgram-api  Running\n", {}, set()),
        (" DRY-RUN MODE -  Container deepgram-api  Recreate\n", {}, {"api"}),
        (" Container abc_deepgram-engine  Recreated\n Container other  Created\n", {}, {"engine"}),
        (" Container deepgram-license-proxy  Recreate\n", {}, set()),
        ("", {"stale": ["api"], "blind": ["engine"]}, {"api", "engine"}),
        ("", {"reproached": ["api"]}, {"api"}),
    ],
)
def test_compose_says_what_it_would_recreate(host, reported, state, due):
    vars(host).update(state)
    host.answers["compose"] = (0, "", reported)
    assert host.engine("docker").due(BOTH) == due
    assert host.asked == [f"compose --dry-run --ansi=never {UP}"]


def test_a_container_that_stands_still_or_is_missing_is_due(host):
    assert host.engine("docker").due({"engine": view(1, running=False), "api": view(2)}) == {"engine"}
    assert host.engine("docker").due({"engine": None, "api": view(2)}) == {"engine"}
    host.asked.clear()
    assert host.engine("docker", check_mode=True).due({"engine": None, "api": None}) == {"engine", "api"}
    assert host.asked == [], "in check mode Docker may not be installed yet"


def test_a_dry_run_that_fails_is_a_failure_but_not_in_check_mode(host):
    host.answers["compose"] = (1, "", "no such image")
    with pytest.raises(CommandFailed):
        host.engine("docker").due(BOTH)
    assert host.engine("docker", check_mode=True).due(BOTH) == set()


@pytest.mark.parametrize(
    ("state", "unread", "asked"),
    [
        ({}, False, []),
        ({}, True, ["systemctl daemon-reload"]),
        ({"ActiveState": "inactive"}, False, ["systemctl enable --now deepgram.service"]),
        ({"UnitFileState": "disabled"}, False, ["systemctl enable --now deepgram.service"]),
        ({"ActiveState": "inactive"}, True, ["systemctl daemon-reload", "systemctl enable --now deepgram.service"]),
    ],
)
def test_docker_s_unit_is_kept_over_a_boot(host, state, unread, asked):
    host.units["deepgram.service"].update(state)
    host.unread = {"deepgram.service"} if unread else set()
    assert host.engine("docker", check_mode=True).keep() is bool(asked) and host.asked == []
    assert host.engine("docker").keep() is bool(asked) and host.asked == asked
    assert host.engine("podman").keep() is False


def test_docker_is_left_with_its_unit_and_its_project(host, monkeypatch):
    exists = os.path.exists
    monkeypatch.setattr(engines.os.path, "exists", lambda path: path == "/var/run/docker.sock" or exists(path))
    docker = host.engine("docker")
    assert not docker.there()
    (host.folder / "compose.yaml").write_text("x")
    (host.folder / "units/deepgram.service").write_text("x")
    assert docker.there()
    docker.leave()
    assert host.asked == ["systemctl disable --now deepgram.service", "compose down"]
    assert not docker.there() and not (host.folder / "units/deepgram.service").exists()
    monkeypatch.setattr(engines.os.path, "exists", lambda path: path != "/var/run/docker.sock" and exists(path))
    (host.folder / "compose.yaml").write_text("x")
    host.asked.clear()
    docker.leave()
    assert host.asked == [] and not docker.there(), "Docker was removed from the host by hand"


def test_docker_that_cannot_be_stopped_is_not_forgotten(host, monkeypatch):
    monkeypatch.setattr(engines.os.path, "exists", lambda path: True)
    (host.folder / "compose.yaml").write_text("x")
    host.answers["compose down"] = (1, "", "timeout")
    with pytest.raises(CommandFailed):
        host.engine("docker").leave()
    assert (host.folder / "compose.yaml").is_file()


@pytest.mark.parametrize(
    ("state", "due"),
    [({}, set()), ({"strange": ["api"]}, {"api"}), ({"stale": ["engine"], "blind": ["engine"]}, {"engine"})],
)
def test_what_is_due_with_podman(host, state, due):
    vars(host).update(state)
    assert host.engine("podman").due(BOTH) == due
    assert host.engine("podman").due({"engine": view(1, running=False), "api": view(2)}) == {"engine", *due}


@pytest.mark.parametrize(
    ("due", "state", "asked"),
    [
        ({"api"}, {}, ["systemctl restart deepgram-api.service"]),
        ({"engine"}, {}, ["systemctl restart deepgram-engine.service deepgram-api.service"]),
        (
            {"api"},
            {"silent": ["api"]},
            ["podman kill --signal=KILL deepgram-api", "systemctl restart deepgram-api.service"],
        ),
        (
            {"api"},
            {"unread": {"deepgram-engine.service"}},
            ["systemctl daemon-reload", "systemctl restart deepgram-api.service"],
        ),
    ],
)
def test_podman_s_units_are_restarted_in_one_transaction(host, due, state, asked):
    vars(host).update(state)
    host.engine("podman").restart(due, BOTH)
    assert host.asked == asked


def test_podman_s_network_is_made_where_it_is_gone(host):
    (host.folder / "quadlets/deepgram.network").write_text("x")
    host.engine("podman").restart({"api"}, BOTH)
    assert host.asked == ["podman network exists deepgram", "systemctl restart deepgram-api.service"]
    host.answers["podman network exists"] = (1, "", "")
    host.asked.clear()
    host.engine("podman").restart({"api"}, BOTH)
    assert host.asked[1:] == ["systemctl restart deepgram-network.service", "systemctl restart deepgram-api.service"]


def test_a_file_of_which_quadlet_makes_no_unit_is_a_failure_with_its_words(host):
    host.unread, host.reloads_help = {"deepgram-api.service"}, False
    host.answers["/usr/libexec/podman/quadlet"] = (1, "", "unsupported key 'Imag' in group 'Container'\n")
    with pytest.raises(CommandFailed, match=r"Quadlet makes no unit of the files in .*: unsupported key 'Imag'"):
        host.engine("podman").restart({"api"}, BOTH)
    assert not any("restart" in words for words in host.asked)


@pytest.mark.parametrize("status", [0, 5])
def test_podman_is_left_with_its_files(host, status):
    podman = host.engine("podman")
    assert not podman.there()
    for name in ("deepgram-api.container", "deepgram-engine.container", "deepgram.network", "other.container"):
        (host.folder / "quadlets" / name).write_text("x")
    assert podman.there()
    host.answers["systemctl stop"] = (status, "", "")  # 5: systemd does not know them
    podman.leave()
    assert host.asked == ["systemctl stop deepgram-api.service deepgram-engine.service", "systemctl daemon-reload"]
    assert [path.name for path in (host.folder / "quadlets").iterdir()] == ["other.container"]


def test_podman_whose_units_do_not_stop_is_not_forgotten(host):
    (host.folder / "quadlets/deepgram-api.container").write_text("x")
    host.answers["systemctl stop"] = (1, "", "Job canceled.\n")
    with pytest.raises(CommandFailed, match="Job canceled"):
        host.engine("podman").leave()
    assert host.engine("podman").there()


def test_a_network_of_another_part_stays(host):
    (host.folder / "quadlets/deepgram.network").write_text("x")
    for alone in ("license-proxy", "billing"):
        host.engine("podman", components=[alone]).leave()
        assert (host.folder / "quadlets/deepgram.network").exists()


@pytest.mark.parametrize("alone", ["license-proxy", "billing"])
def test_what_is_a_project_of_its_own_is_no_matter_of_engines(host, alone):
    (host.folder / f"quadlets/deepgram-{alone}.container").write_text("x")
    assert not host.engine("podman").there() and host.engine("podman", components=[alone]).there()
    host.answers["podman ps"] = (0, f"deepgram-engine deepgram-{alone} deepgram-api-a", "")
    assert engines.installed("podman") == ["engine", alone, "api-a"]
    assert SERVICE.unwanted({"engine": "podman", "components": ["engine"]}) == ["engine", "api-a"]
    assert SERVICE.unwanted({"engine": "podman", "components": [alone]}) == []


@pytest.mark.parametrize(
    ("reported", "seen"),
    [
        ("LoadState=loaded\nNeedDaemonReload=no\n", False),
        ("LoadState=loaded\nNeedDaemonReload=yes\n", True),
        ("LoadState=not-found\nNeedDaemonReload=no\n", True),
        ("", True),
        ("Failed to connect to bus: No such file or directory\n", True),
    ],
)
def test_what_systemd_says_of_a_unit(monkeypatch, reported, seen):
    monkeypatch.setattr(systemd, "run", lambda words: (0, reported, ""))
    assert engines.unread("deepgram-api.service") is seen


@pytest.mark.parametrize("silent", [True, False])
def test_a_part_that_leaves_docker_is_stopped_with_patience_and_removed(host, silent):
    host.silent = ["api"] if silent else []
    host.answers["docker kill"] = (1, "", "No such container")  # it has just died
    host.engine("docker").drop("api")
    rest = ["docker stop -t 7 deepgram-api", "docker rm --force deepgram-api"]
    assert host.asked == [*(["docker kill deepgram-api"] if silent else []), *rest]


@pytest.mark.parametrize("silent", [True, False])
def test_a_part_that_leaves_podman_leaves_no_unit(host, silent):
    host.silent = ["api"] if silent else []
    (host.folder / "quadlets/deepgram-api.container").write_text("x")
    host.engine("podman").drop("api")
    rest = [
        "systemctl stop deepgram-api.service",
        "podman rm --force --ignore deepgram-api",
        "systemctl daemon-reload",
    ]
    assert host.asked == [*(["podman kill --signal=KILL deepgram-api"] if silent else []), *rest]
    assert not host.engine("podman").there()


class Service:
    """deepgram_service on that host: `views` are what runs before and after the engine's restart."""

    def __init__(self, host, monkeypatch, before, after=None):
        self.host, self.before, self.after = host, before, after or before
        self.restarted = False
        monkeypatch.setattr(SERVICE, "inspect", self.inspect)
        monkeypatch.setattr(engines.Docker, "restart", self.restart)
        self.params = {
            "engine": "docker", "directory": str(host.folder), "components": ["engine", "api"], "unit": "deepgram.service",
            "urls": {}, "files": {"engine": [], "api": []}, "stop_timeout_s": 7,
        }  # fmt: skip

    def inspect(self, engine, name):
        return (self.after if self.restarted else self.before).get(name.removeprefix("deepgram-"))

    def restart(self, due, containers):
        self.restarted = True

    def work(self, check_mode=False):
        return SERVICE.work(self.params, check_mode)


def test_containers_that_run_as_they_should_are_left_alone(host, monkeypatch):
    service = Service(host, monkeypatch, BOTH)
    assert service.work() == (False, []) and not service.restarted


def test_what_is_due_is_started_and_named_by_what_is_new(host, monkeypatch):
    host.stale = ["api"]
    service = Service(host, monkeypatch, BOTH, {"engine": view(1), "api": view(3)})
    assert service.work(check_mode=True) == (True, ["deepgram-api"]) and not service.restarted
    assert service.work() == (True, ["deepgram-api"]) and service.restarted


def test_a_restart_after_which_nothing_is_new_changed_nothing(host, monkeypatch):
    host.stale = ["api"]
    assert Service(host, monkeypatch, BOTH).work() == (False, [])


def test_a_unit_that_was_off_and_a_part_that_left_are_changes(host, monkeypatch):
    host.units["deepgram.service"]["ActiveState"] = "inactive"
    assert Service(host, monkeypatch, BOTH).work() == (True, [])
    host.units["deepgram.service"]["ActiveState"] = "active"
    service = Service(host, monkeypatch, BOTH)
    service.params["files"] = {"engine": []}
    host.asked.clear()
    assert service.work(check_mode=True)[0] and not any("stop" in words for words in host.asked)
    assert service.work()[0] and "docker stop -t 7 deepgram-api" in host.asked


def test_a_move_takes_the_containers_away_from_the_other_engine(host, monkeypatch):
    unit = host.folder / "quadlets/deepgram-api.container"
    unit.write_text("x")
    service = Service(host, monkeypatch, BOTH)
    assert service.work(check_mode=True)[0] and unit.exists()
    assert service.work()[0] and not unit.exists()
    assert not service.work()[0]


@pytest.mark.parametrize(
    ("log", "fix"),
    [
        ("Error: unresolvable CDI devices nvidia.com/gpu=all", "nvidia-cdi-refresh"),
        ("listen tcp 0.0.0.0:8080: bind: address already in use", "free the port"),
        ("Error: No such image: x", "the image was removed while this ran"),
        ("docker is not installed", "the container engine is missing"),
        ("it went wrong", "look at their logs"),
    ],
)
def test_a_start_that_failed_says_why_and_what_to_do_without_the_key(host, monkeypatch, log, fix):
    (Path(host.folder) / "deepgram.env").write_text("DEEPGRAM_API_KEY=topsecretkey\n")
    monkeypatch.setattr(SERVICE, "log_tail", lambda engine, name, lines, secrets, since: f"{name} at {since}")
    service = Service(host, monkeypatch, BOTH)
    reported = results(monkeypatch, SERVICE, service.params)
    monkeypatch.setattr(SERVICE.time, "time", lambda: 5.0)
    with pytest.raises(SystemExit):
        SERVICE.main()
    assert reported.pop() == {"changed": False, "started": []}
    monkeypatch.setattr(SERVICE, "work", lambda *_: (_ for _ in ()).throw(CommandFailed(f"{log} (topsecretkey)")))
    with pytest.raises(SystemExit):
        SERVICE.main()
    assert (
        f"did not start: {log}" in reported[0]["msg"]
        and "deepgram-engine at 5.0 | deepgram-api at 5.0" in reported[0]["msg"]
    )
    assert fix in reported[0]["fix"] and "topsecretkey" not in str(reported)
