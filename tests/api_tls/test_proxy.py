"""NGINX and its list of servers before APIs that answer over TLS: whom they believe, and how a running fleet changes over."""

import contextlib
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from ansible.module_utils.deepgram import http, hung
from ansible.module_utils.host import network

from dgctl.verify.checks import test_api
from tests import tls_server
from tests.ports import free_port
from tests.roles_app.conftest import load
from tests.roles_app.proxy.real_nginx import NGINX, Proxy
from tests.roles_app.proxy.upstreams import program
from tests.roles_app.rendering import render
from tests.verify.test_checks import verdict

MODULE, ACTION = load("modules", "api_certificate"), load("action", "api_certificate")
idle = load("modules", "deepgram_idle")


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """{authority, other: PEM files; context: of a server that the first signed, with TLS 1.3 alone as images for FIPS}."""
    folder, bits = tmp_path_factory.mktemp("issued"), ACTION.KEY_BITS
    ACTION.KEY_BITS, before = 2048, MODULE.KEY
    MODULE.KEY = ("ec", "ec_paramgen_curve:P-256")
    try:
        ours, other = (ACTION.Authority(folder / name, 397) for name in ("ours", "other"))
        params = {"directory": str(folder / "etc"), "names": ["deepgram-api", "127.0.0.1"]}
        chain = ours.signed(MODULE.request(params), params["names"], 397)
    finally:
        ACTION.KEY_BITS, MODULE.KEY = bits, before
    (folder / "chain.crt").write_text(chain)
    assert ours.pem != other.pem
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "chain.crt", folder / "etc/api.key.new")
    key = (folder / "etc/api.key.new").read_text()
    (folder / "both.pem").write_text(chain + key)
    files = {"authority": folder / "ours/authority.crt", "other": folder / "other/authority.crt"}
    return SimpleNamespace(context=context, both=folder / "both.pem", **files)


@pytest.fixture
def nginx(tmp_path, issued):
    running = []

    def started(authority, **variables):
        running.append(
            Proxy(
                tmp_path, str(issued.both), api_context=issued.context, _nginx_proxy_api_ca=str(authority), **variables
            )
        )
        return running[-1]

    yield started
    for one in running:
        for child in one.children:
            child.terminate()
            child.wait()
        one.api.shutdown()


@pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)")
def test_nginx_asks_over_tls_whom_the_authority_and_the_name_prove(nginx, issued):
    proxy = nginx(issued.authority)
    assert proxy.ask()[0] == 200
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    status, _head, _body, stream = proxy.ask(method="GET", headers=upgrade, keep=True)
    stream.sendall(b"heard")
    assert status == 101 and stream.recv(10) == b"heard"


@pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)")
@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_nginx_sends_nothing_to_anybody_else(nginx, issued, wrong):
    proxy = nginx(*([issued.other] if wrong == "authority" else [issued.authority]),
                  **({"deepgram_api_tls_name": "another"} if wrong == "name" else {}))  # fmt: skip
    assert proxy.ask()[0] == 503 and proxy.api.heard == []


def test_sites_before_apis_without_tls_are_as_they_were():
    text = render("nginx_proxy", "deepgram.conf.j2", nginx_proxy_nodes=[
        {"name": "gpu1", "address": "127.0.0.1:8080", "profile": "all", "region": ""}])  # fmt: skip
    assert "proxy_ssl" not in text and "https:" not in text and "_scheme" not in text.replace("X-Forwarded", "")


class Status(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"system_health": "Ready", "active_batch_requests": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def api(context=None, host="127.0.0.1"):
    """host:port of an API that says it is Ready, with TLS or without."""
    server = ThreadingHTTPServer((host, 0), Status)
    server.handle_error = lambda *_: None
    if context:
        tls_server.secure(server, context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{host}:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def watch(tmp_path, monkeypatch, issued):
    """watch(addresses, authority) -> the text of the list, after looks at these servers, which are all to have TLS."""
    parts = program()
    for name, value in (("CONFIG", "config.json"), ("KEPT", "kept"), ("RUN", "run")):
        monkeypatch.setattr(parts.files, name, str(tmp_path / value))

    def listed(addresses, authority=issued.authority, tls=True):
        nodes = [{"name": name, "address": at, "profile": "stt", "tls": tls} for name, at in addresses.items()]
        known = {"authority": str(authority), "name": "deepgram-api"}
        config = {"nodes": nodes, "profiles": ["stt"], **({"tls": known} if tls else {})}
        parts.files.write(parts.files.CONFIG, parts.members.json.dumps(config))
        members = parts.members.learn(config, parts.health.look_at(nodes), {})
        return parts.server_list.rendered(config, members, {}), members

    listed.forget = parts.secured.forget
    return listed


def serving(text):
    lines = [line for line in text.splitlines() if line.strip().startswith("server ") and " down;" not in line]
    return {line.rpartition("# ")[2] for line in lines}


def test_the_watch_asks_over_tls_and_believes_the_authority_alone(watch, issued):
    with api(issued.context) as at:
        text, members = watch({"a": at})
        assert members["a"]["health"] == "Ready" and "default https;" in text and serving(text) == {"a"}
        _, members = watch({"b": at}, issued.other)
        assert members["b"]["health"].startswith("no answer: its certificate is not accepted")


def test_while_a_fleet_changes_over_most_of_it_serves_and_nobody_falls_back(watch, issued):
    secured = [api(issued.context, "127.0.0.2") for _ in range(2)]  # elsewhere: a server keeps no other port here
    with api() as one, api() as two, api() as three, secured[0] as done, secured[1] as next_:
        text, _ = watch({"a": one, "b": two, "c": three})
        assert serving(text) == {"a", "b", "c"} and "default http;" in text
        text, _ = watch({"a": done, "b": two, "c": three})
        assert serving(text) == {"b", "c"} and "default http;" in text
        text, _ = watch({"a": done, "b": next_, "c": three})
        assert serving(text) == {"a", "b"} and "default https;" in text
        _, members = watch({"a": one, "b": next_, "c": three})
        assert members["a"]["health"].startswith("no answer"), "a server that had TLS was asked without it"
        watch.forget(["a"])  # as undrain does, after a rollback
        _, members = watch({"a": one, "b": next_, "c": three})
        assert members["a"]["health"] == "Ready" and members["a"]["scheme"] == "http"


def test_while_a_fleet_changes_its_ports_each_is_asked_where_it_listens(watch):
    """A product that comes before others in deepgram_engines takes a port, and theirs are the next ones."""
    nobody = f"127.0.0.1:{free_port()}"
    with api() as before, api() as moved:
        assert serving(watch({"a": before}, tls=False)[0]) == {"a"}
        text, _ = watch({"a": nobody}, tls=False)
        assert serving(text) == {"a"} and before in text, "it still listens at the port that it had"
        text, members = watch({"a": nobody, "new": before}, tls=False)
        assert serving(text) == {"a"} and "still has its port" in members["new"]["health"]
        text, _ = watch({"a": moved}, tls=False)
        assert moved in text and before not in text
    for missing in (nobody, f"127.0.0.2:{nobody.rpartition(':')[2]}"):
        _, members = watch({"a": missing}, tls=False)
        assert members["a"]["health"].startswith("no answer") and members["a"]["address"] == missing


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("secured", [False, True])
def test_an_api_that_still_runs_with_or_without_tls_is_drained_and_not_killed(issued, scheme, secured):
    """The inventory already says how it will be asked once it was restarted."""
    with api(issued.context if secured else None) as at:
        url, container = f"{scheme}://{at}/v1/status", {"running": True}
        assert idle.active({"api": url}, "docker")[0] == 0
        assert hung.hung({"api": url}, ["api"], {"api": container}, 0) == []
        asked, why = http.get_json(url)
        assert (asked is not None) == (secured == (scheme == "https")), why


def test_the_look_asks_over_tls(issued):
    with api(issued.context) as at:
        assert network.ask(f"https://{at}/v1/status")["body"]["system_health"] == "Ready"
        assert "why" in network.ask(f"http://{at}/v1/status") or network.ask(f"http://{at}/v1/status")["status"] != 200


@pytest.mark.parametrize(
    ("authority", "name", "reported"),
    [("authority", "deepgram-api", "pass"), ("other", "deepgram-api", "fail"), ("authority", "another", "fail")],
)
def test_verify_proves_the_certificate_as_nginx_does(issued, authority, name, reported):
    with api(issued.context) as at:
        port, secured = int(at.rpartition(":")[2]), {"name": name, "authority": str(getattr(issued, authority))}
        desired = {"api_tls": secured, "deepgram_api_port": port, "deepgram_api_bind_address": "127.0.0.1"}
        planned = {"route": {"login": ""}, "desired": desired}
        assert verdict(test_api.test_certificate, {"planned": planned, "desired": desired}) == reported


@pytest.mark.skipif(not NGINX, reason="no nginx on this machine (apt-get install nginx)")
def test_nginx_takes_the_site_and_the_list_of_a_server_with_every_product(tmp_path, issued):
    """Each product has a scheme of its own, and Aura's languages share one."""
    own = {"deepgram_engines": [
        {"name": "a"}, {"name": "turns", "profile": "flux"}, {"name": "en", "profile": "aura"},
        {"name": "es", "profile": "aura", "aura_language": "es"}, {"name": "f", "profile": "flux_tts"},
    ], "deepgram_api_tls": True}  # fmt: skip
    nodes = load("filter", "deepgram_topology").nodes("gpu1", {"node": ["gpu1"]}, {"gpu1": own})
    assert [node["tls"] for node in nodes] == [True] * 5
    parts, profiles = program(), ["all", "stt", "flux", "aura", "flux_tts", "agent"]
    tls = {"authority": str(issued.authority), "name": "deepgram-api"}
    config = {"nodes": nodes, "profiles": profiles, "languages": ["en", "es"], "tls": tls}
    (tmp_path / "list.conf").write_text(parts.server_list.rendered(config, {}, {}))
    site = render("nginx_proxy", "deepgram.conf.j2", nginx_proxy_nodes=nodes, nginx_proxy_listen_ipv6=False,
                  __nginx_proxy_packages={"installed": {"nginx": "1.22.1"}}, _nginx_proxy_certificate=str(issued.both),
                  _nginx_proxy_key=str(issued.both), _nginx_proxy_api_ca=str(issued.authority),
                  _nginx_proxy_list=str(tmp_path / "list.conf")).replace("/var/log/nginx", str(tmp_path))  # fmt: skip
    assert "proxy_pass $deepgram_aura_scheme://$deepgram_speakers" in site
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ include {tmp_path}/site.conf; }}\n"
    )
    words = [NGINX, "-t", "-q", "-p", str(tmp_path), "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
