"""A server with Podman: what a hand changed is seen, thing by thing, and one `provision` puts all of it back."""

from tests.scenarios.support import walk
from tests.scenarios.support.one_server import one_server

ROLES = ["nvidia_driver", "podman", "nvidia_container_toolkit", "deepgram_models", "deepgram", "nginx_proxy"]


lab, deployment, server = one_server("storypodman", "podman", "--engine=podman")


def test_provision(deployment, server):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert walk.planned(deployment, server) == {}
    assert walk.unrecorded(server, [*ROLES, "host_firewall", "node_watch", "host_metrics"]) == []


def test_every_managed_thing_that_is_changed_is_found(deployment, server):
    """Of the roles to which the engine makes a difference: those of the others are found with Docker."""
    assert walk.missed(deployment, server, ["podman", "nvidia_container_toolkit", "deepgram"]) == []


def test_one_provision_restores_everything(deployment, server):
    assert walk.not_restored(deployment, server, ROLES, turn=0) == []
