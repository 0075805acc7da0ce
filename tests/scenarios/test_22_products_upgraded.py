"""Every product on two servers behind one name, upgraded while Deepgram's own SDK uses each path: no call is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from tests.scenarios.support.fleet import AFTER, BEFORE
from tests.scenarios.support.products import CALLS, ENGINES, answered, calling, client_of, settings
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up
from tests.scenarios.support.stories import with_all

NAME, OWN = "rotation", "group_vars/node/products.yml"
# Flux TTS came with AFTER.
OLDER = [kind for kind in CALLS if kind != "fluent speech"]
Lab = tuple[Deployment, list[Server]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab_down(NAME)
    options = ("--nodes=2", "--proxies=1", "--gpu=l4:10", f"--release={BEFORE}", "--with-docker")
    deployment, servers = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", *options)
    (deployment.folder / OWN).unlink(missing_ok=True)  # of an earlier run
    own = settings(deployment.variables()["deepgram_models_links"])
    change(deployment, **own | {"deepgram_engines": [each for each in ENGINES if each.get("profile") != "flux_tts"]})
    yield deployment, servers
    lab_down(NAME)


@pytest.fixture
def client(lab: Lab, tmp_path, monkeypatch):
    return client_of(lab[1][-1], tmp_path, monkeypatch)


def change(deployment: Deployment, **variables) -> None:
    path = deployment.folder / OWN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    retained = yaml.safe_load(path.read_text()) or {}
    path.write_text(yaml.safe_dump(retained | variables))


def provisioned(deployment: Deployment, verb: str, *options: str) -> None:
    run = deployment.dgctl(verb, *options, "--yes", timeout=1800)
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}


def images(nodes: list[Server]) -> set[str]:
    """The releases that the containers of all products say they are."""
    label = '{{index .Config.Labels "org.opencontainers.image.version"}}'
    script = f"docker ps -q --filter name=deepgram- | xargs docker inspect --format '{label}'"
    return {release for node in nodes for release in node.sh(script).split()}


def test_provision(lab):
    deployment, servers = lab
    provisioned(deployment, "provision")
    assert images(servers[:2]) == {BEFORE}


@pytest.mark.parametrize("kind", OLDER)
def test_every_path_is_served(client, kind):
    assert answered(client, kind)


def test_upgrade(lab, client):
    deployment, servers = lab
    with no_call_is_lost(client, *OLDER):
        provisioned(deployment, "upgrade", f"--release={AFTER}")
    assert images(servers[:2]) == {AFTER}


@with_all
def test_a_product_joins(lab, client):
    """Before others, whose ports it moves."""
    with no_call_is_lost(client, *OLDER):
        change(lab[0], deepgram_engines=ENGINES)
        provisioned(lab[0], "provision")


@with_all
def test_an_engine_of_each_product_is_changed(lab, client):
    deployment, servers = lab
    before = started(servers)
    with no_call_is_lost(client, *CALLS):
        change(deployment, deepgram_engine_environment={"LAB_CHANGED": "1"})
        provisioned(deployment, "provision")
    after = started(servers)
    assert {name for name in before if "engine" in name} <= {name for name in before if before[name] != after[name]}


@contextmanager
def no_call_is_lost(client, *kinds: str) -> Iterator[None]:
    with calling(client, *kinds) as calls:
        yield
    assert calls.wrong == [] and all(calls.right[kind] > 10 for kind in kinds), calls


def started(servers: list[Server]) -> dict[str, str]:
    script = "docker ps -q --filter name=deepgram- | xargs docker inspect --format '{{.Name}} {{.State.StartedAt}}'"
    lines = [f"{server.name}{line}" for server in servers[:2] for line in server.sh(script).splitlines()]
    return dict(line.split() for line in lines)
