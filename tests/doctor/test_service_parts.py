"""What the checks of the service are made of: checksums, one question to a name server, logs of a time, pages that are late."""

import os
import socket
import threading
import time
import types

import pytest
from ansible.module_utils.doctor import doctor
from ansible.module_utils.doctor import engine as doctor_engine
from ansible.module_utils.doctor import host as doctor_host
from ansible.module_utils.doctor.service import engine as service_engine
from ansible.module_utils.doctor.service import models as service_models
from ansible.module_utils.host import dns, network
from ansible.module_utils.nvidia import dcgm

from tests.doctor.faults import nginx, service


def checksums(patient):
    (found,) = [one for one in doctor.examine(patient.host()) if one["check"] == "model checksums"]
    return found


def test_a_flipped_bit_is_found_by_its_checksum(patient, monkeypatch):
    monkeypatch.setattr(dcgm, "diagnose", lambda: dcgm.Answer(0, "", 1, []))
    patient.parameters["deep"] = True
    assert checksums(patient)["seen"] == "2 files"
    service.flip_one_bit(patient)
    assert patient.failing() == {}, "size and time say nothing"
    found = checksums(patient)
    assert found["verdict"] == "fail" and "nova-3.en.batch.dg" in found["seen"] and "dgctl provision" in found["fix"]
    patient.parameters["deep"] = False
    assert "model checksums" not in {one["check"] for one in doctor.examine(patient.host())}


def test_a_model_without_a_checksum_is_not_judged(patient):
    patient.remove("/var/lib/deepgram/models/.sha256.json")
    assert service_models.checksums(patient.host()).ok is None


def test_a_hand_edit_is_named_with_what_it_means(patient):
    service.limit_under_another_table(patient)
    text = "max_active_requests stands under [features], so the Engine has no limit"
    assert patient.failing()["files"] == f"/etc/deepgram/engine/engine.toml was edited by hand: {text}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max_active_requests = 4\n[features]\n", [("", "4")]),
        ('[features]\n"max_active_requests" = 4 # x\n', [("features", "4")]),
        ("# max_active_requests = 4\n[[a.b]]\nx = 1\n", []),
        ("[ flux ]\n  max_active_requests=4\n[x]\n", [("flux", "4")]),
    ],
)
def test_where_a_key_stands(text, found):
    assert service_engine.places(text, "max_active_requests") == found


@pytest.fixture
def name_server():
    """name_server(answer): a port at which a name server answers so; None for one that says nothing."""
    sockets = []

    def start(answer):
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        sockets.append(bound)

        def serve():
            try:
                question, asker = bound.recvfrom(512)
            except OSError:
                return
            for reported in answer(question) if answer else ():
                bound.sendto(reported, asker)

        threading.Thread(target=serve, daemon=True).start()
        return bound.getsockname()[1]

    yield start
    for bound in sockets:
        bound.close()


def test_a_name_server_that_answers(name_server):
    asked = []
    port = name_server(lambda question: [asked.append(question), question][1:])
    assert 0 <= dns.ask("127.0.0.1", "license.deepgram.com", 5, port) < 5
    # RFC 1035, 4.1: recursion desired, one question, the name as labels, type A, class IN.
    assert asked[0][2:] == b"\x01\x00\x00\x01\0\0\0\0\0\0\x07license\x08deepgram\x03com\0\0\x01\0\x01"


def test_the_answer_to_another_question_is_none(name_server):
    port = name_server(lambda question: [b"\0\0" + question[2:], b"\xff"] if question[:2] != b"\0\0" else [])
    assert dns.ask("127.0.0.1", "x", 0.2, port) is None


@pytest.mark.parametrize("server", ["127.0.0.1", "not an address", "::1%none"])
def test_a_name_server_that_is_dead(name_server, server):
    assert dns.ask(server, "license.deepgram.com", 0.2, name_server(None)) is None


def test_a_page_that_is_late_is_asked_twice(patient, monkeypatch):
    asked = []
    reported = [{"why": "does not answer: timed out"}, {"status": 200, "text": "x"}]
    monkeypatch.setattr(network, "page", lambda url: [asked.append(url), reported[len(asked) - 1]][1])
    host = doctor_host.Host(patient.parameters, patient.programs, patient.engine, str(patient.root))
    assert host.page("http://x/metrics")["status"] == 200 and len(asked) == 2
    assert host.page("http://x/metrics")["status"] == 200 and len(asked) == 2


@pytest.mark.parametrize(("engine", "words"), [
    (doctor_engine.Docker, ["docker", "logs", "--since", "100.000", "--until", "200.500", "deepgram-api"]),
    (doctor_engine.Podman, ["journalctl", "-q", "-o", "cat", "--since=@100", "--until=@201", "-u", "deepgram-api.service", "-t",
                            "deepgram-api"]),
])  # fmt: skip
def test_the_log_of_a_time(engine, words):
    assert list(engine(None).log_between("api", 100.0, 200.5))[4:] == words


@pytest.mark.parametrize(("ago", "since"), [(60, 60), (3600, doctor_host.RECENT_S)])
def test_what_a_container_said_before_it_was_restarted_is_no_news(patient, monkeypatch, ago, since):
    host, asked = patient.host(), []
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(host.started - ago))
    patient.container("engine", 4711, StartedAt=started)
    monkeypatch.setattr(host.engine, "log_between", lambda part, since, until: (asked.append(since), ("true",))[1])
    host.recent_log("engine")
    assert asked == [pytest.approx(host.started - since, abs=1.5)]


def test_a_log_ends_where_it_is_too_long(monkeypatch):
    monkeypatch.setattr(doctor_engine, "LOG_BYTES", 1000)
    programs = doctor_host.Programs({"long": doctor_engine.headed("yes", "said")})
    assert len(programs.reported("long").text) == 1000


def test_the_fullest_worker_counts(patient):
    nginx.nginx_without_connections(patient)
    assert patient.findings()["nginx room"]["seen"].startswith("500 of 512")


@pytest.mark.parametrize(
    ("free", "flag", "says"),
    [(600, 0, ""), (40, 0, "nginx_proxy_upload_buffer_gb higher"), (600, os.ST_RDONLY, "dmesg")],
)
def test_an_upload_buffer_without_room_is_named(patient, monkeypatch, free, flag, says):
    nginx.buffered(patient)
    statvfs = os.statvfs

    def of(path):
        real = statvfs(path)
        return (
            types.SimpleNamespace(f_blocks=1000, f_bavail=free, f_frsize=16 * 10**6, f_flag=flag, f_files=0)
            if str(path).endswith("uploads")
            else real
        )

    monkeypatch.setattr(os, "statvfs", of)
    found = patient.findings()["upload buffer"]
    assert found["verdict"] == ("fail" if says else "pass") and says in found["fix"]
    assert flag or f"{(1000 - free) * 0.016:.1f} of 16.0 GB used" in found["seen"]
