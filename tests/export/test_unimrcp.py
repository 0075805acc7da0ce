"""`dgctl export unimrcp`: what the plugin is told, as its page has it."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from dgctl.cli import main
from tests.unit.conftest import folder, write  # noqa: F401 - a deployment to export

LISTEN = "\nnginx_proxy_plain_port=8090\nnginx_proxy_plain_allow=['192.0.2.0/24']\n"


@pytest.fixture
def deployment(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    return folder


def export():
    return CliRunner().invoke(main, ["export", "unimrcp", "inventory.ini", "out"])


def test_each_server_is_an_endpoint(deployment):
    write(Path("inventory.ini"), Path("inventory.ini").read_text() + LISTEN)
    done = export()
    assert done.exit_code == 0, done.output
    root = ElementTree.parse("out/umsdeepgram.xml").getroot()
    assert (root.tag, root.attrib) == ("service-endpoints", {"load-balancing": "round-robin", "fail-over": "true"})
    uris = [each.attrib["service-uri"] for each in root]
    assert uris == [f"ws://192.0.2.{n}:8090/v1/listen/stream" for n in (11, 12)]
    assert all(each.attrib["enable"] == "true" for each in root)
    assert Path("out/deepgram.subscription.key").read_text() == '{"auth-key": ""}\n'
    assert "0 of them written now" in export().output


def test_the_proxies_are_the_endpoints_where_there_are_some(deployment):
    write(Path("inventory.ini"), "[proxy]\nlb1 ansible_host=192.0.2.5\n" + Path("inventory.ini").read_text() + LISTEN)
    assert export().exit_code == 0
    assert [each.attrib["service-uri"] for each in ElementTree.parse("out/umsdeepgram.xml").getroot()] == [
        "ws://192.0.2.5:8090/v1/listen/stream"
    ]


def test_where_nobody_listens_it_says_what_to_set(deployment):
    done = export()
    assert done.exit_code == 3 and "nginx_proxy_plain_port" in done.output and not Path("out").exists()
    write(Path("inventory.ini"), Path("inventory.ini").read_text() + "\nnginx_proxy_plain_port=8090\n")
    done = export()
    assert done.exit_code == 3 and "nginx_proxy_plain_allow" in done.output
