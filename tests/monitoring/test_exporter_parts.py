"""deepgram-metrics' parts: GPUs, the kernel's log, NGINX's connections and log."""

import datetime
import json
import subprocess
import sys
import time

import pytest

from tests import certificates
from tests.monitoring.program import program
from tests.paths import PROJECT
from tests.roles_app.conftest import load  # noqa: F401 - makes ansible.module_utils find this checkout's

PROGRAM = program()
ask, gpus, proxy, page = PROGRAM.ask, PROGRAM.gpus, PROGRAM.proxy, PROGRAM.page
SAMPLES = PROJECT / "tests/samples"
# As nvidia-smi 580.159.04 writes an H100 (tests/samples/h100), with what it cannot tell as [N/A].
CARD = (
    "0, GPU-0, NVIDIA H100 80GB HBM3, 00000000:06:00.0, 580.159.04, 34, 12, 1024, 81559, 71.44, 345, 2, "
    "Yes, [N/A], No, Active, Not Active, Not Active, [N/A]"
)


def figures(monkeypatch, reported, bus=("0000:06:00.0",)):
    monkeypatch.setattr(gpus, "query", lambda: reported)
    monkeypatch.setattr(gpus, "on_bus", lambda: list(bus))
    found = page.Page()
    gpus.figures(found)
    return found.text().splitlines()


def test_every_field_is_one_that_nvidia_smi_knows():
    known = (SAMPLES / "h100/query_gpu_fields.txt").read_text().split()
    assert [field for field in gpus.FIELDS if field not in known] == []


def test_a_gpu(monkeypatch):
    lines = figures(monkeypatch, CARD + "\n")
    for line in (
        'dgctl_gpu_info{gpu="0",uuid="GPU-0",name="NVIDIA H100 80GB HBM3",bus_id="00000000:06:00.0",driver="580.159.04"} 1',
        'dgctl_gpu_utilization_ratio{gpu="0"} 0.12',
        'dgctl_gpu_memory_used_bytes{gpu="0"} 1073741824',
        'dgctl_gpu_sm_clock_hertz{gpu="0"} 345000000',
        'dgctl_gpu_memory_errors{gpu="0"} 2',
        'dgctl_gpu_memory_repair_pending{gpu="0"} 1',
        'dgctl_gpu_memory_repair_failed{gpu="0"} 0',
        'dgctl_gpu_slowdown{gpu="0",reason="hw_slowdown"} 1',
        'dgctl_gpu_slowdown{gpu="0",reason="sw_thermal_slowdown"} 0',
        "dgctl_gpus_on_bus 1",
        "dgctl_gpus_answering 1",
        "dgctl_driver_mismatch 0",
    ):
        assert line in lines, line
    assert not any("hw_power_brake_slowdown" in line for line in lines), "[N/A] is no figure"


@pytest.mark.parametrize(
    ("reported", "line"),
    [
        (
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173\n",
            "dgctl_driver_mismatch 1",
        ),
        ("Unable to determine the device handle for GPU0: 0000:06:00.0: Unknown Error\n", "dgctl_gpus_answering 0"),
        ("", "dgctl_gpus_answering 0"),
    ],
)
def test_a_driver_that_fails(monkeypatch, reported, line):
    lines = figures(monkeypatch, reported)
    assert line in lines and "dgctl_gpus_on_bus 1" in lines and not any("dgctl_gpu_info" in one for one in lines)


def test_gpus_on_the_bus(monkeypatch, tmp_path):
    for name, vendor, kind in (("0000:06:00.0", "0x10de", "0x030200"), ("0000:07:00.0", "0x10de", "0x040300")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    monkeypatch.setattr(gpus, "DEVICES", str(tmp_path))
    assert gpus.on_bus() == ["0000:06:00.0"], "the other is its sound"


def xids(monkeypatch, *texts):
    reported = [f"{text}\n-- cursor: s={number}\n" for number, text in enumerate(texts)]
    asked = []
    monkeypatch.setattr(ask, "run", lambda *words, **_: asked.append(words) or (0, reported.pop(0)))
    counter = gpus.Xids()
    for _ in texts:
        found = page.Page()
        counter.figures(found)
    return found.text().splitlines(), asked


def test_xids_are_counted_from_where_the_last_look_ended(monkeypatch):
    lines, asked = xids(
        monkeypatch, (SAMPLES / "h200/kernel_log.txt").read_text(), "NVRM: Xid (PCI:0000:00:06): 79, pid=1"
    )
    assert 'dgctl_xid_errors_total{xid="79"} 1' in lines and 'dgctl_xid_errors_total{xid="31"} 1' in lines
    assert 'dgctl_xid_errors_total{xid="48"} 0' in lines, "what has not come yet is 0, so that its first is an increase"
    assert "--boot" in asked[0] and asked[1][asked[1].index("--after-cursor") + 1] == "s=0"


def test_the_grave_ones_are_those_of_the_doctor_and_of_the_rules():
    from ansible.module_utils.doctor.log import XIDS

    assert set(gpus.GRAVE) == {str(number) for number in XIDS}
    rules = (PROJECT / "roles/monitoring/templates/rules/servers.yml.j2").read_text()
    assert f'xid=~"{"|".join(gpus.GRAVE)}"' in rules


def test_a_program_that_hangs_is_left_behind():
    with pytest.raises(ask.Silent, match="no answer in"):
        ask.run(sys.executable, "-c", "import time; time.sleep(60)", timeout_s=0.2)
    with pytest.raises(ask.Silent, match="No such file"):
        ask.run("/nonexistent/program")


@pytest.mark.parametrize(
    ("reported", "moment"),
    [
        ("2027-05-15 3:25:28.0 +00:00:00", "2027-05-15T03:25:28+00:00"),
        ("2027-05-15T03:25:28.123456Z", "2027-05-15T03:25:28+00:00"),
        ("2027-05-15 03:25:28 +02:00", "2027-05-15T01:25:28+00:00"),
        ("tomorrow", None),
        (None, None),
        ("2027-13-45 99:99:99", None),
    ],
)
def test_dates(reported, moment):
    expected = datetime.datetime.fromisoformat(moment).timestamp() if moment else None
    assert ask.moment(reported) == expected


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 050200C0:01BB 090200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 050200C0:A000 0B0200C0:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 050200C0:A001 0B0200C0:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
"""
TABLE6 = """\
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF0000050200C0:01BB 0000000000000000FFFF0000080200C0:C351 01 0
"""


def test_connections_by_server(monkeypatch, tmp_path):
    for name, text in (("tcp", TABLE), ("tcp6", TABLE6)):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(proxy, "TABLES", (str(tmp_path / "tcp"), str(tmp_path / "tcp6"), str(tmp_path / "none")))
    found = page.Page()
    proxy.connections(found, 443, {"gpu1": "192.0.2.11:8080", "gpu2": "192.0.2.12:8080", "lost": "no.invalid:8080"})
    lines = found.text().splitlines()
    assert "dgctl_proxy_callers 2" in lines
    assert 'dgctl_proxy_member_connections{member="gpu1"} 2' in lines
    assert 'dgctl_proxy_member_connections{member="gpu2"} 0' in lines
    assert not any("lost" in line for line in lines), "nobody knows"


def logged(status, tried, answered, caller=None):
    by = "" if caller is None else f' caller="{caller}"'
    return (
        f'192.0.2.9 [2026-11-30T08:00:00+00:00] "POST /v1/listen HTTP/1.1" {status} bytes=512 seconds=0.031 '
        f"upstream={tried}/{answered} id=00112233445566778899aabbccddeeff{by}\n"
    )


LOG = (
    logged(200, "192.0.2.11:8080", "200")
    + logged(200, "192.0.2.11:8080, 192.0.2.12:8080", "502, 200")
    + logged(503, "192.0.2.12:8080", "503")
    + logged(404, "-", "-")
    + "a line of somebody else\n"
)


def test_the_access_log_through_a_rotation(tmp_path):
    path = tmp_path / "deepgram.access.log"
    path.write_text(logged(200, "192.0.2.11:8080", "200"))
    log = proxy.AccessLog(str(path))
    log.read_on()
    assert log.statuses == {}, "what was before it began is not counted"
    with path.open("a") as stream:
        stream.write(LOG[: len(LOG) // 2])
    log.read_on()
    with path.open("a") as stream:
        stream.write(LOG[len(LOG) // 2 :])
    path.rename(tmp_path / "deepgram.access.log.1")
    path.write_text(logged(200, "[2001:db8::1]:8080", "200"))
    found = page.Page()
    log.figures(found, {"gpu1": "192.0.2.11:8080", "gpu2": "192.0.2.12:8080", "gpu6": "[2001:db8::1]:8080"})
    lines = found.text().splitlines()
    for line in (
        'dgctl_proxy_responses_total{status="2xx"} 3',
        'dgctl_proxy_responses_total{status="503"} 1',
        'dgctl_proxy_responses_total{status="4xx"} 1',
        'dgctl_proxy_member_responses_total{member="gpu1",status="502"} 1',
        'dgctl_proxy_member_responses_total{member="gpu2",status="200"} 1',
        'dgctl_proxy_member_responses_total{member="gpu6",status="200"} 1',
        "dgctl_proxy_retries_total 1",
    ):
        assert line in lines, line


def test_the_access_log_of_a_proxy_that_asks_who_calls(tmp_path):
    """Its lines end in the caller's name (nginx_proxy_callers): everything else is counted as before."""
    path = tmp_path / "deepgram.access.log"
    path.touch()
    log = proxy.AccessLog(str(path))
    log.read_on()
    path.write_text(
        logged(200, "192.0.2.11:8080", "200", "billing")
        + logged(200, "192.0.2.11:8080, 192.0.2.12:8080", "502, 200", "billing")
        + logged(503, "192.0.2.12:8080", "503", "ivr")
        + logged(401, "-", "-", "-")
        + logged(401, "-", "-", "")
    )
    found = page.Page()
    log.figures(found, {"gpu1": "192.0.2.11:8080"})
    lines = found.text().splitlines()
    for line in (
        'dgctl_proxy_responses_total{status="2xx"} 2',
        'dgctl_proxy_responses_total{status="4xx"} 2',
        'dgctl_proxy_member_responses_total{member="gpu1",status="502"} 1',
        "dgctl_proxy_retries_total 1",
        'dgctl_proxy_caller_requests_total{caller="billing",status="2xx"} 2',
        'dgctl_proxy_caller_requests_total{caller="ivr",status="503"} 1',
        'dgctl_proxy_caller_requests_total{caller="-",status="4xx"} 2',
        'dgctl_proxy_caller_seconds_total{caller="billing"} 0.062',
    ):
        assert line in lines, line


def test_callers_without_end_are_one(monkeypatch):
    monkeypatch.setattr(proxy, "MOST_CALLERS", 2)
    log = proxy.AccessLog("/nowhere")
    log.take("".join(logged(200, "192.0.2.11:8080", "200", f"c{n}") for n in range(9)))
    assert log.requests == {("c0", "2xx"): 1, ("c1", "2xx"): 1, ("others", "2xx"): 7}


def test_a_proxy_that_asks_nobody_has_no_figures_of_callers():
    log = proxy.AccessLog("/nowhere")
    log.take(LOG)
    assert log.requests == {} and log.seconds == {} and log.statuses


def test_a_log_that_it_may_not_read_gives_no_figures(monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(proxy.os, "stat", closed)
    found = page.Page()
    proxy.AccessLog("/var/log/nginx/deepgram.access.log").figures(found, {})
    assert found.text() == ""


def overflowed(status, tried, answered, overflow="yes", caller=None):
    line = logged(status, tried, answered, caller)
    return line.replace(
        " id=00112233445566778899aabbccddeeff", f" id=00112233445566778899aabbccddeeff overflow={overflow}"
    )


# As NGINX 1.22 wrote them in tests/proxy/test_overflow.py.
ELSEWHERE = (
    overflowed(200, "192.0.2.11:8080", "200", "no")
    + overflowed(200, "192.0.2.11:8080, 192.0.2.12:8080", "502, 200", "no")
    + overflowed(200, "deepgram_stt : 203.0.113.7:443", "502 : 200")
    + overflowed(101, "deepgram_stt : 203.0.113.7:443", "502 : 101")
    + overflowed(400, "192.0.2.11:8080 : 203.0.113.7:443", "502 : 400")
    + overflowed(503, "192.0.2.11:8080 : 203.0.113.7:443", "502 : 401")
    + overflowed(503, "deepgram_stt : deepgram_overflow", "502 : 502")
    + overflowed(503, "deepgram_stt : 203.0.113.7:443", "502 : 504")
    + overflowed(499, "deepgram_stt : 203.0.113.7:443", "502 : -")
)


@pytest.mark.parametrize("caller", [None, "billing"])
def test_the_access_log_of_a_proxy_with_another_deployment(tmp_path, caller):
    """Its lines say where a request went; none of them was counted."""
    by = "" if caller is None else f' caller="{caller}"'
    path = tmp_path / "deepgram.access.log"
    path.touch()
    log = proxy.AccessLog(str(path))
    log.read_on()
    path.write_text("".join(line + by + "\n" for line in ELSEWHERE.splitlines()))
    found = page.Page()
    log.figures(found, {"gpu1": "192.0.2.11:8080", "gpu2": "192.0.2.12:8080"})
    lines = found.text().splitlines()
    assert [line for line in lines if line.startswith("dgctl_proxy_overflow")] == [
        'dgctl_proxy_overflow_requests_total{answer="1xx"} 1',
        'dgctl_proxy_overflow_requests_total{answer="2xx"} 1',
        'dgctl_proxy_overflow_requests_total{answer="401"} 1',
        'dgctl_proxy_overflow_requests_total{answer="4xx"} 1',
        'dgctl_proxy_overflow_requests_total{answer="504"} 1',
        'dgctl_proxy_overflow_requests_total{answer="full"} 1',
        'dgctl_proxy_overflow_requests_total{answer="none"} 1',
    ]
    assert (
        'dgctl_proxy_responses_total{status="503"} 3' in lines
        and 'dgctl_proxy_responses_total{status="2xx"} 3' in lines
    )
    assert "dgctl_proxy_retries_total 1" in lines, "what went elsewhere is no retry"
    assert not any("203.0.113.7" in line for line in lines), "it is no server of this deployment"
    assert any('caller="billing"' in line for line in lines) is bool(caller)


@pytest.mark.parametrize(
    ("known", "reported"),
    [
        ('{"cloud.example.com:443": "203.0.113.7:443"}', (1, 2)),
        ("{}", (0, 0)),
        (None, (0, 0)),
    ],
)
def test_the_state_of_another_deployment(monkeypatch, tmp_path, known, reported):
    monkeypatch.setattr(proxy, "TABLES", (str(tmp_path / "tcp"),))
    here, there = "050200C0:9C40", "077100CB:01BB"
    rows = [f"   {n}: {here} {there} {state} 0" for n, state in enumerate(("01", "01", "06"))]
    (tmp_path / "tcp").write_text("\n".join(["  sl  local_address rem_address   st", *rows, ""]))
    (tmp_path / "c.json").write_text(
        '{"nodes": [], "overflow": {"address": "cloud.example.com:443", "max_connections": 32}}'
    )
    if known is not None:
        (tmp_path / "k.json").write_text(known)
    found = page.Page()
    proxy.overflow(found, str(tmp_path / "c.json"), str(tmp_path / "k.json"))
    lines = found.text().splitlines()
    assert "dgctl_proxy_overflow_limit 32" in lines
    assert f"dgctl_proxy_overflow_address_known {reported[0]}" in lines
    assert f"dgctl_proxy_overflow_connections {reported[1]}" in lines


def test_a_proxy_without_another_deployment_tells_nothing_of_one(tmp_path):
    (tmp_path / "c.json").write_text('{"nodes": [], "overflow": {}}')
    for config in ("c.json", "none.json"):
        found = page.Page()
        proxy.overflow(found, str(tmp_path / config), str(tmp_path / "k.json"))
        assert found.text() == ""


def test_a_torn_file_is_silence_and_no_figure(tmp_path):
    (tmp_path / "c.json").write_text('{"nodes": [], "overf')
    with pytest.raises(PROGRAM.ask.Silent, match=r"c\.json"):
        proxy.overflow(page.Page(), str(tmp_path / "c.json"), str(tmp_path / "k.json"))


def test_the_form_of_the_log_is_that_of_the_role():
    site = (PROJECT / "roles/nginx_proxy/templates/deepgram.conf.j2").read_text()
    assert (
        "$status '" in site
        and "'bytes=$body_bytes_sent seconds=$request_time upstream=$upstream_addr/$upstream_status" in site
        and "id=$request_id{{ ' overflow=$deepgram_overflow' if overflow }}'" in site
        and """' caller="$deepgram_caller"'""" in site
    )


def test_members(tmp_path):
    path = tmp_path / "members.json"
    path.write_text('{"members": {"gpu1": {"state": "up"}, "gpu2": {"state": "drained", "reason": "failed"}}}')
    found = page.Page()
    proxy.members(found, str(path), {"gpu1": 19, "gpu2": 0})
    lines = found.text().splitlines()
    assert 'dgctl_proxy_member_state{member="gpu1",state="up"} 1' in lines
    assert 'dgctl_proxy_member_state{member="gpu2",state="up"} 0' in lines
    assert 'dgctl_proxy_member_drained{member="gpu2",reason="failed"} 1' in lines
    assert [line for line in lines if "limit{" in line] == ['dgctl_proxy_member_limit{member="gpu1"} 19']
    with pytest.raises(ask.Silent):
        proxy.members(page.Page(), str(tmp_path / "none"), {})


def test_who_is_behind(tmp_path):
    own = {"gpu1": "127.0.0.1:8080"}
    assert proxy.behind(str(tmp_path / "none"), own) == (own, {})
    path = tmp_path / "upstreams.json"
    path.write_text('{"nodes": [{"name": "gpu2", "address": "192.0.2.12:8080", "max_connections": 19}]}')
    assert proxy.behind(str(path), own) == ({"gpu2": "192.0.2.12:8080"}, {"gpu2": 19})


def test_the_end_of_a_served_certificate(tmp_path):
    """openssl's own server and certificate, which ends in 30 days."""
    file = certificates.made(tmp_path, "x", days=30)
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-key", file, "-cert", file, "-www"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = next(line for line in server.stdout if line.startswith("ACCEPT")).rpartition(":")[2]
        left = ask.certificate_end("127.0.0.1", int(port), "x") - datetime.datetime.now().timestamp()
        assert 29.9 < left / 86400 < 30.1
    finally:
        server.kill()
        server.wait()
    with pytest.raises(ask.Silent):
        ask.certificate_end("127.0.0.1", int(port), "x", 1)


@pytest.mark.parametrize(
    ("reported", "line"),
    [('{"since": 0, "error": ""}', "0"), ('{"since": 1796000000, "error": "x"}', "1796000000"), (None, "")],
)
def test_a_certificate_that_is_not_renewed(tmp_path, reported, line):
    path, found = tmp_path / "state.json", page.Page()
    if reported:
        path.write_text(reported)
    PROGRAM.services.renewal(found, str(path))
    metric = "dgctl_tls_renewal_failing_since_timestamp_seconds"
    assert (f"{metric} {line}" in found.text().splitlines()) is bool(line)
    path.write_text("[")
    with pytest.raises(ask.Silent):
        PROGRAM.services.renewal(page.Page(), str(path))


def test_the_watchdog_of_this_server(tmp_path):
    whole, path = PROGRAM.page.Page(), tmp_path / "state.json"
    PROGRAM.watchdog.figures(whole, str(path))
    assert "dgctl_watch_up 0\n" in whole.text() and "dgctl_watch_out" not in whole.text()
    reported = {
        "at": time.time(),
        "phase": "hand",
        "out": True,
        "tries": 3,
        "healed": 1,
        "frozen": "",
        "warnings": ["disk"],
    }
    path.write_text(json.dumps(reported))
    whole = PROGRAM.page.Page()
    PROGRAM.watchdog.figures(whole, str(path))
    lines = [line for line in whole.text().splitlines() if line[0] != "#" and not line.endswith(" 0")]
    assert lines == [
        "dgctl_watch_up 1", 'dgctl_watch_phase{phase="hand"} 1', "dgctl_watch_out 1", "dgctl_watch_tries 3",
        "dgctl_watch_healed 1", "dgctl_watch_warnings 1",
    ]  # fmt: skip
    path.write_text(json.dumps({**reported, "at": time.time() - 99}))
    whole = PROGRAM.page.Page()
    PROGRAM.watchdog.figures(whole, str(path))
    assert "dgctl_watch_up 0\n" in whole.text(), "what it wrote before it ended is old"


@pytest.mark.parametrize(
    ("more", "names"),
    [({}, set()), ({"overflow": "/x", "members": "/y"}, {"proxy_overflow", "proxy_members"})],
)
def test_the_figures_of_a_proxy(more, names):
    known = {"port": 443, "access_log": "/l", "upstreams": "/u", "servers": {}, "server_name": "x"}
    found = PROGRAM.collectors.collectors({"interval_s": 15, "proxy": {**known, **more}})
    assert {one.name for one in found} == {"tls", "proxy_connections", "proxy_log"} | names
