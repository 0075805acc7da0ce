"""What a Prometheus tells, and what it does not: a figure that is missing, or no figure, is never a number."""

import math
import time

import httpx
import pytest

from dgctl.capacity import prometheus, used
from dgctl.capacity.prometheus import Silent
from tests.capacity import asked

NOW = 1_764_500_000.0
HOUR = 3600


def hours(count, value=10.0, now=NOW):
    last = now // HOUR * HOUR
    return [(last - HOUR * n, value) for n in range(count)][::-1]


def seen(answer, days=7, here=NOW, **options):
    with asked.prometheus(answer, **options) as url, prometheus.at_url(url) as found:
        return used.seen(found, days, here)


def test_figures_of_the_last_weeks():
    found = seen(
        asked.whole(
            NOW,
            {"stt": hours(20 * 24), "flux": hours(100, 3)},
            {"stt": hours(50, 90)},
            gpus=[({"instance": "gpu1", "gpu": number, "name": "Tesla T4"}, 1) for number in ("1", "0")],
            limits=[({"instance": "gpu1", "profile": "stt"}, 36)],
            file_s=[({"profile": "stt"}, 42.5)],
        ),
        days=14,
    )
    stt = found.by_profile["stt"]
    assert (len(stt.requests), len(stt.sound), stt.file_s) == (14 * 24, 50, 42.5), "two questions, no hour twice"
    assert len({at for at, _ in stt.requests}) == 14 * 24
    assert len(found.by_profile["flux"].requests) == 100
    assert found.gpus == {"gpu1": "Tesla T4 + Tesla T4"} and found.limits == {("gpu1", "stt"): 36}
    assert found.problems == [] and found.silent == []


def test_a_metric_that_is_absent_until_the_first_request_gives_no_figure():
    found = seen(asked.whole(NOW, {"stt": hours(48)}))
    assert found.by_profile["stt"].sound == [] and found.by_profile["stt"].file_s is None


def test_what_is_no_number_is_left_out():
    points = [*hours(2), (NOW // HOUR * HOUR - 9 * HOUR, "NaN"), (NOW // HOUR * HOUR - 8 * HOUR, "+Inf")]
    found = seen(asked.whole(NOW, {"stt": points}, limits=[({"instance": "gpu1"}, "NaN")]))
    assert all(math.isfinite(value) for _, value in found.by_profile["stt"].requests)
    assert len(found.by_profile["stt"].requests) == 2 and found.limits == {}


def test_engines_that_are_silent_are_named():
    up = [({"instance": "gpu1", "profile": "stt"}, 1), ({"instance": "gpu2", "profile": "stt"}, 0)]
    found = seen(asked.whole(NOW, {"stt": hours(48)}, up=up))
    assert found.silent == ["gpu2"] and "gpu2 silent" in found.problems[0]


def test_a_profile_that_went_silent_is_told():
    points = [(at - 5 * HOUR, value) for at, value in hours(48)]
    assert "stt has been silent for" in seen(asked.whole(NOW, {"stt": points})).problems[0]


def test_without_the_rules_there_is_no_figure_of_use():
    assert "are the rules" in seen(asked.whole(NOW, {})).problems[0]


def test_without_an_engine_it_is_silent():
    with pytest.raises(Silent, match="no Engine"):
        seen(asked.whole(NOW, {}, up=[]))


def test_clocks_that_are_apart_are_told_and_its_own_counts():
    found = seen(asked.whole(NOW, {"stt": hours(24)}), here=NOW + 7200)
    assert "120 minutes apart" in found.problems[0] and found.at == NOW
    assert len(found.by_profile["stt"].requests) == 24


def hang(handler):
    time.sleep(1)


def drip(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(20):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"raw": b"<html>login</html>"}, "no JSON"),
        ({"raw": b"", "code": 302}, "HTTP 302"),
        ({"raw": b"[" * 200_000}, "no JSON"),
        ({"raw": b"null"}, "not as a Prometheus"),
        ({"raw": b'{"status": "success", "data": {}}'}, "not as a Prometheus"),
        (
            {"raw": b'{"status": "error", "errorType": "bad_data", "error": "no space left"}', "code": 503},
            "no space left",
        ),
        ({"raw": b'{"status": "success", "data": {"result": []}}'}, "does not tell its time"),
        ({"raw": hang}, "no answer within"),
        ({"raw": drip}, "does not end within"),
    ],
)
def test_what_is_no_answer_is_silence(options, says, monkeypatch):
    monkeypatch.setattr(prometheus, "ANSWER_LIMIT_S", 0.3)
    with pytest.raises(Silent, match=says):
        seen(None, **options)


def test_an_answer_that_is_too_large_is_silence(monkeypatch):
    monkeypatch.setattr(prometheus, "LARGEST", 1000)
    with pytest.raises(Silent, match="does not end"):
        seen(None, raw=b" " * 5000)


def test_nobody_there_is_silence():
    with prometheus.at_url("http://127.0.0.1:1") as found, pytest.raises(Silent):
        used.seen(found, 7, NOW)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://prom:9090", ""),
        ("https://prom.example.com/prometheus", ""),
        ("http://[2001:db8::1]:9090", ""),
        ("prom:9090", "http://HOST:PORT"),
        ("ftp://prom", "http://HOST:PORT"),
        ("http://", "http://HOST:PORT"),
        ("http://prom:99999", "no URL"),
        ("http://[::1", "no URL"),
        ("http://me:secret@prom", "netrc"),
        ("http://prom/?x=1", "without ?"),
    ],
)
def test_mistakes_in_a_url(url, says):
    assert says in prometheus.mistake(url) and bool(prometheus.mistake(url)) is bool(says)


def test_a_password_comes_from_netrc_alone(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = []

    def note(handler):
        given.append(handler.headers["Authorization"])
        handler.send_response(500)
        handler.end_headers()

    with pytest.raises(Silent):
        seen(None, raw=note)
    assert given == [httpx.BasicAuth("me", "secret")._auth_header]
