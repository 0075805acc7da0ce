"""For whom ports are, from the desk: layouts of every kind keep to their own rules; a port opened beside them is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl import validation
from dgctl.content import specs
from dgctl.deployment import deployment as deployments
from dgctl.deployment import vault
from dgctl.deployment.deployment import Deployment
from dgctl.validation import reach
from dgctl.validation.context import Context
from tests.unit.conftest import CHECKOUT, write

pytestmark = pytest.mark.usefixtures("root", "folder")
OF = "ansible_host=192.0.2."
LAYOUTS = {
    "one node": f"[node]\na {OF}1\n",
    "nodes behind a proxy": f"[node]\na {OF}1\nb {OF}2\n[proxy]\np {OF}9\n",
    "a node that is the proxy": f"[node]\na {OF}1\nb {OF}2\n[proxy]\na\n",
    "API and Engine apart": f"[api]\na {OF}1\n[engine]\ne {OF}2\n[proxy]\np {OF}9\n",
    "both on one server": f"[api]\na {OF}1\n[engine]\na\n[proxy]\np {OF}9\n",
    "License Proxies and monitoring": f"[node]\na {OF}1\n[license_proxy]\nl {OF}3\n[monitoring]\nm {OF}4\n[proxy]\np {OF}9\n",
}


def loaded(layout: str, more: str = "") -> Deployment:
    write(Path("inventory.ini"), f"{layout}[all:vars]\nansible_user=ops\ndeepgram_release=release-260812\n")
    with Path("group_vars/all/main.yml").open("a") as file:
        file.write(more)
    with vault.opened(Path("inventory.ini"), (), (), False) as passwords:
        return deployments.load(Path("inventory.ini"), passwords, None)


def found(layout: str, more: str = "") -> list[tuple[str, str]]:
    context = Context(loaded(layout, more), specs.options(CHECKOUT))
    return [(problem.what.split(" to ")[0], problem.where.split(":")[0]) for problem in reach.problems(context)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_layout_opens_what_its_rules_do_not_name(name: str) -> None:
    assert found(LAYOUTS[name]) == []


def test_rules_that_forget_what_is_open_are_refused_where_they_stand() -> None:
    rules = "host_firewall_rules: [{name: metrics, port: 9991, sources: [192.0.2.9]}]\n"
    opened = "deepgram_api_bind_address opens port 8080"
    assert found(LAYOUTS["nodes behind a proxy"], rules) == [(opened, "group_vars/all/main.yml")] * 2


def test_a_port_that_is_opened_beside_the_rules_is_refused() -> None:
    reported = found(LAYOUTS["nodes behind a proxy"], "deepgram_metrics_bind_address: 0.0.0.0\n")
    assert reported[0] == ("deepgram_metrics_bind_address opens port 9991", "group_vars/all/main.yml")


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("one node", []),
        ("nodes behind a proxy", ["a, b"]),
        ("a node that is the proxy", ["b"]),
        ("API and Engine apart", ["a"]),
    ],
)
def test_audio_in_clear_is_said_of_servers_that_another_one_s_proxy_asks(name: str, servers: list[str]) -> None:
    notes = validation.notes(loaded(LAYOUTS[name]))
    assert [note.where.replace(" and ", ", ") for note in notes] == servers
    assert all("in clear" in note.what and note.fix for note in notes)
