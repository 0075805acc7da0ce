"""deepgram_idle: waits until an API has no requests; what is still busy after its time is left as it is."""

import json
from types import SimpleNamespace

import pytest

from .conftest import load

MODULE = load("modules", "deepgram_idle")


@pytest.fixture
def api(monkeypatch):
    """api(*active, timeout_s, force): (what the module reports, looks) where the API has so many requests, look by look.

    The last number lasts; None: it does not answer.
    """

    def run(*active, timeout_s=60, force=False, check_mode=False):
        said, looks, clock = [], [], SimpleNamespace(now=100.0)

        def get_json(url, timeout):
            assert url == "http://127.0.0.1:8080/v1/status"
            looks.append(clock.now)
            number = active[min(len(looks), len(active)) - 1]
            kinds = {"active_batch_requests": number, "active_stream_requests": 0, "active_none": None}
            return (None, "refused") if number is None else ({"system_health": "Healthy", **kinds}, "")

        def sleep(seconds):
            clock.now += seconds

        def end(failed=False, **words):
            said.append({"failed": failed, **words})
            raise SystemExit

        params = {"api_url": "http://127.0.0.1:8080", "timeout_s": timeout_s, "force": force}
        module = SimpleNamespace(
            params=params, check_mode=check_mode, exit_json=end, fail_json=lambda **words: end(failed=True, **words)
        )
        monkeypatch.setattr(MODULE, "AnsibleModule", lambda **_: module)
        monkeypatch.setattr(MODULE, "get_json", get_json)
        monkeypatch.setattr(MODULE.time, "sleep", sleep)
        monkeypatch.setattr(MODULE.time, "monotonic", lambda: clock.now)
        with pytest.raises(SystemExit):
            MODULE.main()
        return json.loads(json.dumps(said[0])), len(looks)

    return run


@pytest.mark.parametrize(
    ("active", "looks", "seconds"),
    [
        ((0,), 2, 1),
        ((3, 2, 0), 4, 3),
        ((0, 1, 0), 4, 3),  # a request between the proxies' reload and the first look
        ((None,), 2, 1),  # what does not answer has none
    ],
)
def test_it_waits_for_two_quiet_looks(api, active, looks, seconds):
    assert api(*active) == ({"failed": False, "changed": False, "left": 0, "seconds": seconds}, looks)


def test_what_is_not_finished_in_time_is_a_failure_that_says_how_many(api):
    result, looks = api(7, timeout_s=5)
    assert result["failed"] and (result["left"], result["seconds"], looks) == (7, 5, 6)
    assert "7 requests are not finished after 5 s, so this server was left as it is" in result["msg"]
    assert "deepgram_drain_force=true" in result["fix"]


def test_forced_it_goes_on_with_what_is_left(api):
    assert api(7, timeout_s=5, force=True)[0] == {"failed": False, "changed": False, "left": 7, "seconds": 5}


def test_quiet_at_the_last_moment_is_looked_at_once_more(api):
    assert api(7, 7, 0, timeout_s=2) == ({"failed": False, "changed": False, "left": 0, "seconds": 3}, 4)


def test_check_mode_waits_for_nobody(api):
    assert api(7, check_mode=True) == ({"failed": False, "changed": False, "left": 0, "seconds": 0}, 0)
