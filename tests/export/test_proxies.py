"""`dgctl export proxy`: each program takes its file, and with it keeps the rules of the role's own NGINX."""

import json
import re
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dgctl.base import nginx_size
from dgctl.cli import main
from dgctl.export import proxy
from tests import certificates
from tests.unit.conftest import INVENTORY, folder, write  # noqa: F401 - a deployment to export

from .api import Api
from .running import PROGRAMS, Proxy

INVENTORY += """\
deepgram_engine_max_active_requests=3
nginx_proxy_check_interval_s=1
nginx_proxy_closing_s=1
"""
FLEET = """\
[node]
gpu1 ansible_host=192.0.2.11 deepgram_engine_max_active_requests=20 deepgram_region=eu
gpu2 ansible_host=192.0.2.12 deepgram_engine_max_active_requests=20 deepgram_region=us
flux1 ansible_host=2001:db8::7 deepgram_profile=flux deepgram_flux_max_streams=8
es ansible_host=192.0.2.14 deepgram_profile=aura deepgram_aura_language=es
en ansible_host=192.0.2.15 deepgram_profile=aura deepgram_aura_language=en

[all:vars]
ansible_user=ops
deepgram_release=release-260812
"""
LINKS = "deepgram_models_links: [https://m.example.com/nova-3.dg, https://m.example.com/flux-general-en.dg]\n"


EXPORTED = {}  # program -> the files for INVENTORY, which are written once


def export(program, *words, out="out"):
    return CliRunner().invoke(main, ["export", "proxy", "inventory.ini", out, "--for", program, *words])


@pytest.fixture
def deployment(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    write(Path("inventory.ini"), INVENTORY)
    return folder


@pytest.fixture
def fleet(deployment):
    write(Path("inventory.ini"), FLEET)
    write(Path("group_vars/all/main.yml"), LINKS)
    return deployment


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    both = certificates.made(tmp_path_factory.mktemp("tls"), "gpu1")
    both.chmod(0o644)
    return str(both)


def texts(out="out"):
    return {str(path.relative_to(out)): path.read_text() for path in Path(out).rglob("*") if path.is_file()}


def needs(program):
    if not PROGRAMS[program]:
        pytest.skip(f"{program} is not installed (apt-get install haproxy apache2 nginx)")


@pytest.fixture(params=PROGRAMS)
def running(request, deployment, tmp_path, certificate):
    """The program at work before two APIs, which take two requests each at a time."""
    needs(request.param)
    if request.param not in EXPORTED:
        done = export(request.param)
        assert done.exit_code == 0, done.output
        EXPORTED[request.param] = texts()
    apis = {f"192.0.2.1{number}:8080": Api(f"gpu{number}") for number in (1, 2)}
    at = tmp_path / "proxy"
    at.mkdir()
    found = Proxy(request.param, at, EXPORTED[request.param], apis, certificate)
    yield found.start()
    for api in apis.values():
        api.hold.set()
    found.close()


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def by(proxy):
    status, _, body = proxy.ask()
    return json.loads(body).get("by") if status == 200 else status


def test_a_file_and_a_stream_pass_and_what_is_not_for_callers_does_not(running):
    status, head, body = running.ask(
        "/v1/listen?model=nova-3&callback=https%3A%2F%2Fsecret.example.com", body=b"a" * 200_000
    )
    assert (
        status == 200
        and json.loads(body)["path"] == "/v1/listen?model=nova-3&callback=https%3A%2F%2Fsecret.example.com"
    )
    assert "x-content-type-options: nosniff" in head and "strict-transport-security" in head
    heard = next(each for api in running.apis.values() for each in api.heard)[1]
    assert heard["x-forwarded-proto"] == "https" and heard["x-forwarded-for"] == "127.0.0.1" and heard["x-request-id"]
    stream = running.stream("/v1/listen?encoding=linear16")
    stream.sendall(b"some words")
    assert stream.recv(100) == b"some words"
    stream.close()
    for path in ("/v1/status", "/v1/models", "/metrics", "/v2/listen", "/", "/v1/listen/x"):
        assert running.ask(path, "GET", b"")[0] == 404, path
    assert "secret.example.com" not in running.log(), "queries are in no log"


def test_no_server_gets_more_than_its_limit_and_the_rest_is_told_when_to_come_again(running):
    apis = list(running.apis.values())
    for api in apis:
        api.hold.clear()
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(running.ask())) for _ in range(9)]
    for caller in callers:
        caller.start()
    assert until(lambda: len(answers) == 5), (len(answers), [api.now for api in apis])
    assert {answer[0] for answer in answers} == {503} and all("retry-after: 1" in answer[1] for answer in answers)
    assert json.loads(answers[0][2])["err_code"] == "SERVICE_UNAVAILABLE"
    assert [api.now for api in apis] == [2, 2]
    for api in apis:
        api.hold.set()
    for caller in callers:
        caller.join()
    assert [answer[0] for answer in answers].count(200) == 4 and [api.most for api in apis] == [2, 2]


def test_the_body_of_the_status_decides_who_serves_and_a_drained_server_gets_nothing(running):
    one, _two = running.apis.values()
    assert until(lambda: {by(running) for _ in range(4)} == {"gpu1", "gpu2"})
    one.health = "Critical"
    assert until(lambda: {by(running) for _ in range(4)} == {"gpu2"}), "200 and Critical: it does not serve"
    one.health = "Degraded"
    assert until(lambda: {by(running) for _ in range(4)} == {"gpu1", "gpu2"})
    stream = running.stream()
    name = "gpu1" if one.now else "gpu2"
    running.drain("deepgram_stt", name)
    other = {"gpu1", "gpu2"} - {name}
    assert {by(running) for _ in range(6)} == other
    stream.sendall(b"goes on")
    assert stream.recv(100) == b"goes on"
    stream.close()
    running.drain("deepgram_stt", name, back=True)
    assert until(lambda: {by(running) for _ in range(4)} == {"gpu1", "gpu2"})


def test_a_server_that_stops_loses_no_request(running):
    one, two = running.apis.values()
    one.takes_s = two.takes_s = 0.02
    until(lambda: {by(running) for _ in range(4)} == {"gpu1", "gpu2"})
    answers, done = [], threading.Event()

    def caller():
        while not done.is_set():
            answers.append(running.ask()[0])

    callers = [threading.Thread(target=caller) for _ in range(2)]
    for each in callers:
        each.start()
    assert until(lambda: one.heard and two.heard and len(answers) > 5)
    one.stop()
    before = len(answers)
    until(lambda: len(answers) > before + 15)
    done.set()
    for each in callers:
        each.join()
    assert set(answers) == {200} and len(answers) > before + 15


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_takes_the_file_of_a_mixed_fleet(program, fleet, tmp_path, certificate):
    needs(program)
    assert export(program).exit_code == 0
    at = tmp_path / "proxy"
    at.mkdir()
    status, reported = Proxy(program, at, texts(), {}, certificate).accepted()
    assert status == 0 and "warn" not in reported.lower(), reported


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_broken_file_is_refused(program, fleet, tmp_path, certificate):
    needs(program)
    export(program)
    at = tmp_path / "proxy"
    at.mkdir()
    first, files = next(iter(proxy.PROGRAMS[program])), texts()
    word = {"haproxy": "leastconn", "apache": "hcmethod", "nginx": "proxy_http_version"}[program]
    files[first] = files[first].replace(word, f"{word}x")
    assert Proxy(program, at, files, {}, certificate).accepted()[0] != 0


def servers(program):
    """Server -> its requests at a time (0: no limit), and whether it only stands by, as the program's file has it."""
    first = texts()[next(iter(proxy.PROGRAMS[program])) if program != "nginx" else "upstreams.conf"]
    line, limit, by = {
        "haproxy": (r"^ +server (\S+) (.*)$", r" maxconn (\d+)", " backup"),
        "apache": (r"^ +BalancerMember .* route=(\S+)(.*)$", r" max=(\d+)", " status=+H"),
        "nginx": (r"^ +server (\S+) (.*);$", r"max_conns=(\d+)", " backup"),
    }[program]
    found = {name: rest for name, rest in re.findall(line, first, re.MULTILINE)}
    return {name: (int((re.search(limit, rest) or [0, 0])[1]), by in rest) for name, rest in found.items()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_several_proxies_share_the_limits_and_those_of_another_region_stand_by(program, fleet):
    name = {"gpu1": "192.0.2.11:8080", "gpu2": "192.0.2.12:8080", "flux1": "[2001:db8::7]:8080"}
    name = {key: value if program == "nginx" else key for key, value in name.items()}
    assert export(program).exit_code == 0
    found = servers(program)
    assert found[name["gpu1"]] == (19, False) and found[name["flux1"]] == (7, False) and len(found) == 5
    assert export(program, "--proxies", "4", "--region", "eu").exit_code == 0
    found = servers(program)
    assert found[name["gpu1"]] == (4, False), "together the four never have more than 19"
    assert found[name["gpu2"]][1] is True, "of another region"
    assert found[name["flux1"]][1] is False, "no server of its product is of the region: it serves"


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_path_and_each_voice_goes_to_those_that_serve_it_and_none_else_is_there(program, fleet):
    export(program)
    text = "".join(texts().values())
    for word in ("/v1/listen", "/v1/read", "/v2/listen", "/v1/speak", "deepgram_aura_es", "deepgram_aura_en"):
        assert word in text
    assert "/v1/agent/converse" not in texts()[next(iter(proxy.PROGRAMS[program]))]
    for serves in proxy.SERVES:
        assert serves in text


def test_what_cannot_be_is_refused(deployment):
    for words in (["proxy", "inventory.ini", "out"], ["monitoring", "inventory.ini", "out", "--for", "nginx"]):
        done = CliRunner().invoke(main, ["export", *words])
        assert done.exit_code == 2 and "--for" in done.output
    done = export("haproxy", "--region", "eu")
    assert done.exit_code == 2 and "no server is in this region" in done.output
    write(Path("theirs/haproxy.cfg"), "global\n")
    assert export("haproxy", out="theirs").exit_code == 2 and Path("theirs/haproxy.cfg").read_text() == "global\n"
    assert export("haproxy").exit_code == 0 and export("apache").exit_code == 2, "another program's export stays"


def test_who_cannot_reach_the_apis_yet_is_told(deployment):
    assert "deepgram_foreign_proxies" in export("haproxy").output
    write(Path("inventory.ini"), INVENTORY + 'deepgram_foreign_proxies=["192.0.2.5"]\n')
    done = export("haproxy")
    assert done.exit_code == 0 and "hint" not in done.output and "0 of them written now" in done.output


def test_apis_with_tls_are_not_asked_without(deployment):
    with Path("inventory.ini").open("a") as file:
        file.write("deepgram_api_tls=true\n")
    done = export("haproxy")
    assert done.exit_code == 3 and "answer over TLS" in done.output and not Path("out/haproxy.cfg").exists()


def test_a_size_is_in_bytes():
    assert [nginx_size.parse(text) for text in ("10", "1k", "512m", "2G")] == [10, 1024, 512 << 20, 2 << 30]


def test_a_name_is_one_that_every_program_takes():
    assert proxy.named("gpu1/flux tts", ()) == "gpu1-flux-tts" and proxy.named("a/b", ["a-b"]) == "a-b-2"
