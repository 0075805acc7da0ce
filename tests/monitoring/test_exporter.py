"""deepgram-metrics, as a program: what it serves, to whom, and what it does not say."""

import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from tests.monitoring.program import FOLDER, program
from tests.ports import free_port

PROGRAM = program()
# Bodies as the pages have them: self-hosted-status-endpoint, license-proxy, certificates-endpoint.
ANSWERS = {
    "/v1/status": {
        "system_health": "Healthy",
        "active_batch_requests": 2,
        "active_stream_requests": 40,
        "active_listen_v2_stream_requests": 1,
        "state": "TrustBased",
        "last_successful_checkin": "2026-11-30T08:00:00.000000Z",
        "trust_expiration": "2026-12-07T08:00:00.000000Z",
    },
    "/v1/certificates": {
        "beginning_of_support": "2025-11-13 15:25:28.0 +00:00:00",
        "end_of_support": "2027-05-15 3:25:28.0 +00:00:00",
        "end_of_life": "2028-11-12 15:25:58.0 +00:00:00",
        "instance_id": "00000000-0000-0000-0000-000000000000",
    },
    "/metrics": "# TYPE engine_active_requests gauge\nengine_active_requests 3\n# EOF\n",
}


class Deepgram(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        reported = ANSWERS[self.path]
        body = (reported if isinstance(reported, str) else json.dumps(reported)).encode()
        self.send_response(200)
        kind = (
            "application/openmetrics-text; version=1.0.0" if "openmetrics" in self.headers["Accept"] else "text/plain"
        )
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def service():
    """The URL of something that answers as API and License Proxy do."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deepgram)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="module")
def exporter(service, tmp_path_factory):
    """The URL of the running program, as the role configures it."""
    port, path = free_port(), tmp_path_factory.mktemp("exporter") / "config.json"
    relays = {"engine": f"{service}/metrics", "node": "http://127.0.0.1:9/metrics"}
    config = {"address": "127.0.0.1", "port": port, "allow": [], "interval_s": 5, "relays": relays}
    path.write_text(
        json.dumps(
            config
            | {"gpus": False, "apis": {"api": service}, "license_proxy": service, "billing": service, "proxy": {}}
        )
    )
    process = subprocess.Popen([sys.executable, "-B", FOLDER, path], stderr=subprocess.PIPE, text=True)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 20
    while "dgctl_api_up" not in (asked(f"{url}/metrics")[1]) and time.monotonic() < end:
        time.sleep(0.1)
    yield url
    process.terminate()
    assert process.wait(10) == 0


def asked(url, **headers):
    """(status, body, content type)."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), ""
    except OSError:
        return 0, "", ""


def test_what_the_services_say(exporter):
    page = asked(f"{exporter}/metrics")[1]
    for line in (
        "dgctl_api_up 1",
        'dgctl_api_health{state="Healthy"} 1',
        'dgctl_api_health{state="Critical"} 0',
        'dgctl_api_active_requests{kind="stream"} 40',
        'dgctl_license_proxy_state{state="TrustBased"} 1',
        "dgctl_license_proxy_trust_expiration_timestamp_seconds 1796630400",
        'dgctl_release_end_of_support_timestamp_seconds{part="api"} 1810351528',
        'dgctl_release_end_of_life_timestamp_seconds{part="license-proxy"} 1857655558',
        'dgctl_release_end_of_life_timestamp_seconds{part="billing"} 1857655558',
        'dgctl_collector_up{collector="api"} 1',
    ):
        assert line in page.splitlines(), line


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")
def test_prometheus_can_read_it(exporter):
    page = asked(f"{exporter}/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_hands_on_what_listens_on_loopback(exporter):
    status, body, kind = asked(f"{exporter}/relay/engine", Accept="application/openmetrics-text")
    assert (status, body) == (200, ANSWERS["/metrics"]) and kind.startswith("application/openmetrics-text")
    assert asked(f"{exporter}/relay/node")[0] == 502, "a program that does not run has no figures"


@pytest.mark.parametrize("path", ["/", "/relay/", "/relay/other", "/relay/../etc/passwd", "/v1/status"])
def test_it_hands_on_nothing_else(exporter, path):
    assert asked(exporter + path)[0] == 404


def test_a_configuration_that_is_none_ends_it_with_a_sentence(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-B", FOLDER, tmp_path / "x.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "provision this server again" in done.stderr and "Traceback" not in done.stderr


def test_nobody_else_is_told_anything():
    nothing = {"gpus": False, "api": "", "license_proxy": "", "proxy": {}, "interval_s": 15}
    relays = {"engine": "http://127.0.0.1:9/metrics"}
    server = PROGRAM.server.Server({"address": "127.0.0.1", "port": 0, "allow": [], "relays": relays, **nothing})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    assert asked(f"{url}/metrics")[0] == 200
    server.allowed = lambda address: False
    for path in ("/metrics", "/relay/engine", "/other"):
        status, body, _kind = asked(url + path)
        assert status == 403 and body == "this address may not read: see host_metrics_allow\n", path
    server.shutdown()
    server.server_close()


def resolver(name, _port):
    if name != "mon.test":
        raise OSError("no such name")
    return [(0, 0, 0, "", ("192.0.2.20", 0))]


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.0.2.20", True),
        ("::ffff:192.0.2.20", True),
        ("198.51.100.7", True),
        ("2001:db8::5", True),
        ("192.0.2.21", False),
        ("203.0.113.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_who_may_read(address, may):
    allowed = PROGRAM.access.Allowed(["198.51.100.0/24", "mon.test", "lost.test", "2001:db8::/32"], resolver)
    assert allowed(address) is may


def test_a_name_that_no_longer_resolves_keeps_its_address():
    allowed = PROGRAM.access.Allowed(["mon.test"], resolver)
    assert allowed("192.0.2.20")
    allowed.resolve, allowed.at = (lambda *_: (_ for _ in ()).throw(OSError())), time.monotonic() - 3600
    assert allowed("192.0.2.20")


def test_a_collector_that_hangs_holds_up_nobody_and_tells_nothing_old():
    collectors, page = PROGRAM.collectors, PROGRAM.page
    collector = collectors.Collector("gpus", lambda found: found.add("x", "X", 1), 15)
    collector.look()
    reported = page.Page()
    collector.tell(reported)
    assert "x 1" in reported.text() and 'dgctl_collector_up{collector="gpus"} 1' in reported.text()
    collector.good_at -= 3 * 15 + 6
    reported = page.Page()
    collector.tell(reported)
    assert "x 1" not in reported.text() and 'dgctl_collector_up{collector="gpus"} 0' in reported.text()


def test_a_collector_that_fails_says_it_once(capsys):
    def gather(_page):
        raise PROGRAM.ask.Silent("nvidia-smi: no answer in 20 s")

    collector = PROGRAM.collectors.Collector("gpus", gather, 15)
    collector.look()
    collector.look()
    assert capsys.readouterr().err.count("no answer in 20 s") == 1 and not collector.fresh()


def test_labels_are_escaped():
    page = PROGRAM.page.Page()
    page.add("x", "X", 0.5, name='a"b\\c\nd')
    page.add("y", "Y", None)
    assert page.text() == '# HELP x X\n# TYPE x gauge\nx{name="a\\"b\\\\c\\nd"} 0.5\n'
