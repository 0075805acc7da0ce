"""deepgram_idle: only an API that says 0, or that is known not to run, has no requests."""

import json

import pytest
import yaml
from ansible.module_utils.deepgram import containers

from tests.roles_app.conftest import ROOT, load

IDLE = load("modules", "deepgram_idle")
LOCAL = load("filter", "local_address")
URL = "http://192.0.2.11:8080"


class Exit(Exception):
    """How the module ended."""


@pytest.fixture
def idle(monkeypatch):
    """idle(answers, inspect, **parameters): what the module ends with, and which addresses it asked."""
    asked, clock = [], iter(range(10_000))

    def call(answers, inspect=(0, "true\n", ""), **parameters):
        pages = list(answers)

        def get_json(url, timeout, ask=None):
            asked.append(url)
            reported = pages.pop(0) if len(pages) > 1 else pages[0]
            return (None, "timed out") if reported is None else (reported, "")

        usual = {
            "apis": {"api": f"{URL}/v1/status"},
            "timeout_s": 60,
            "engine": "docker",
            "silence_s": 20,
            "force": False,
        }
        usual["silent_allowed"] = False

        class Module:
            params, check_mode = usual | parameters, False

            def exit_json(self, **reported):
                raise Exit({"failed": False, **reported})

            def fail_json(self, **reported):
                raise Exit({"failed": True, **reported})

        monkeypatch.setattr(IDLE, "AnsibleModule", lambda **_: Module())
        monkeypatch.setattr(IDLE, "get_json", get_json)
        monkeypatch.setattr(IDLE, "run", lambda argv, check: inspect)
        made = json.loads(inspect[1])[:1] if inspect[0] == 0 and inspect[1].startswith("[") else []
        seen = [{"ports": containers.published(one)} for one in made]
        monkeypatch.setattr(IDLE, "inspect", lambda engine, name: seen[0] if seen else None)
        monkeypatch.setattr(IDLE.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(IDLE.time, "monotonic", lambda: next(clock))
        with pytest.raises(Exit) as end:
            IDLE.main()
        return end.value.args[0], asked

    return call


def busy(count):
    return {"system_health": "Healthy", "active_batch_requests": 0, "active_stream_requests": count}


def test_requests_are_waited_for_where_the_api_listens(idle):
    reported, asked = idle([busy(2), busy(1), busy(0), busy(0)])
    assert (
        (reported["failed"], reported["left"]) == (False, 0) and set(asked) == {f"{URL}/v1/status"} and len(asked) == 4
    )


@pytest.mark.parametrize(
    "inspect",
    [
        (0, "true\n", ""),
        (1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"),
        (127, "", "docker is not installed"),
        (124, "", "docker container took longer than 120 s"),
    ],
)
def test_no_answer_is_never_idle(idle, inspect):
    reported, asked = idle([None], inspect)
    assert reported["failed"] and reported["left"] is None and len(asked) > 5
    assert "not known" in reported["msg"] and "timed out" in reported["msg"]
    assert idle([None], inspect, silent_allowed=True)[0]["failed"] is False
    assert idle([None], inspect, force=True)[0]["failed"] is False


@pytest.mark.parametrize(
    ("inspect", "words"),
    [
        ((0, "false\n", ""), "does not run"),
        ((1, "", "Error response from daemon: No such container: deepgram-api"), "there is no container"),
        ((1, "", "Error: No such container: deepgram-api"), "there is no container"),
        ((125, "", 'Error: inspecting object: no such container "deepgram-api"'), "there is no container"),
        ((125, "", 'Error: no such object: "deepgram-api"'), "there is no container"),
    ],
)
def test_a_container_that_is_known_not_to_run_has_none(idle, inspect, words):
    reported, _ = idle([None], inspect)
    assert (reported["failed"], reported["left"]) == (False, 0) and words in reported["seen"]


def test_an_answer_without_counters_says_nothing(idle):
    assert idle([{"system_health": "Healthy"}])[0]["failed"]


def test_one_lost_answer_does_not_count(idle):
    reported, _ = idle([busy(3), None, None, busy(3), busy(0), busy(0)])
    assert (reported["failed"], reported["left"]) == (False, 0)


def test_calls_that_go_on_keep_the_server_as_it_is(idle):
    reported, _ = idle([busy(1)])
    assert reported["failed"] and reported["left"] == 1 and "deepgram_drain_timeout_s" in reported["fix"]
    assert idle([busy(1)], force=True)[0]["left"] == 1


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.11", "192.0.2.11"),
        ("::", "[::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_where_a_server_reaches_its_own_ports(bound, asked):
    assert LOCAL.local_address(bound) == asked


def test_no_playbook_asks_the_loopback_address_whatever_is_bound():
    text = {path.name: path.read_text() for path in ROOT.glob("playbooks/*.yml")}
    assert [name for name, reported in text.items() if "//127.0.0.1" in reported] == []
    play = yaml.safe_load(text["drain.yml"])[1]
    assert "deepgram_api_bind_address | default('') | local_address" in play["vars"]["_urls"]
    assert "_urls" in play["tasks"][0]["deepgram_idle"]["apis"]
    assert json.dumps(yaml.safe_load(text["status.yml"])).count("bind_address") == 4


@pytest.mark.parametrize(
    ("counts", "asked"),
    [
        ((0,), 2),
        ((0, 1, 0), 4),  # a request between the proxies' reload and the first look
    ],
)
def test_two_quiet_looks_in_a_row_are_waited_for(idle, counts, asked):
    reported, urls = idle([busy(count) for count in counts])
    assert (reported["failed"], reported["left"], len(urls)) == (False, 0, asked)


def bound(inside, port):
    return (
        0,
        json.dumps([{"HostConfig": {"PortBindings": {f"{inside}/tcp": [{"HostIp": "", "HostPort": port}]}}}]),
        "",
    )


@pytest.mark.parametrize(
    ("inspect", "port"),
    [
        (
            bound(8080, "8083"),
            8083,
        ),  # another product came before it in deepgram_engines: it is to have 8084, and does not yet
        (bound(8080, "8084"), 8084),
        (bound(9090, "8083"), 8084),  # settings moved the port inside: nothing is known
        ((0, "[]", ""), 8084),
        ((1, "", "Error response from daemon: No such container: deepgram-api-agent"), 8084),
    ],
)
def test_an_api_is_asked_where_its_container_listens_now(idle, inspect, port):
    reported, asked = idle([busy(0)], inspect, apis={"api-agent": "http://192.0.2.11:8084/v1/status"})
    assert (reported["failed"], reported["left"]) == (False, 0) and set(asked) == {
        f"http://192.0.2.11:{port}/v1/status"
    }
