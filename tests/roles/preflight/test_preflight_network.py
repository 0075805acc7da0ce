"""Model links, servers, and probes that never answer."""

import time

from ansible.module_utils.host.parallel import in_parallel
from ansible.module_utils.preflight import network as preflight_network

SIZE = 5_000_000


def models(method, path, headers):
    """A server of one model that wants its signature."""
    if not path.startswith("/nova.dg"):
        return 404, {}, b""
    if "signature=good" not in path:
        return 403, {}, b""
    return 206, {"Content-Range": f"bytes 0-0/{SIZE}"}, b"x"


def test_link_that_works_says_its_size(https, tmp_path):
    host = https(models)
    (found,), size = preflight_network.model(f"https://{host}/nova.dg?signature=good", str(tmp_path), 5)
    assert found["verdict"] == "pass" and "5.0 MB" in found["seen"] and size == SIZE


def test_model_that_is_there_already_needs_no_room(https, tmp_path):
    with open(tmp_path / "nova.dg", "wb") as stream:
        stream.truncate(SIZE)
    link = f"https://{https(models)}/nova.dg?signature=good"
    assert preflight_network.model(link, str(tmp_path), 5)[1] == 0


def test_missing_file_is_named_without_the_query(https, tmp_path):
    link = f"https://{https(models)}/other.dg?signature=verysecret"
    (found,), _size = preflight_network.model(link, str(tmp_path), 5)
    assert found["check"] == "model other.dg" and found["verdict"] == "fail"
    assert "404" in found["seen"] and "deepgram_models_links" in found["fix"]
    assert "verysecret" not in str(found)


def test_link_that_has_run_out(https, tmp_path):
    link = f"https://{https(models)}/nova.dg?signature=old"
    (found,), _size = preflight_network.model(link, str(tmp_path), 5)
    assert found["verdict"] == "fail" and "run out" in found["fix"]


def test_server_that_ignores_ranges(https, tmp_path):
    host = https(lambda *_: (200, {}, b"x" * 1000))
    assert preflight_network.model(f"https://{host}/nova.dg", str(tmp_path), 5)[1] == 1000


def test_names_and_ports():
    unknown = preflight_network.reach("licence server", "https://nowhere.invalid", 5)
    assert unknown["verdict"] == "fail" and "does not resolve" in unknown["seen"]
    closed = preflight_network.reach("licence server", "http://127.0.0.1:1", 5)
    assert closed["verdict"] == "fail" and "refused" in closed["seen"] and "firewall" in closed["fix"]


def test_server_that_answers(https):
    assert preflight_network.reach("licence server", f"https://{https(models)}", 5)["verdict"] == "pass"


def test_everything_is_probed_at_the_same_time(https, tmp_path):
    def slow(*_):
        time.sleep(0.5)
        return 206, {"Content-Range": "bytes 0-0/10"}, b"x"

    links = [f"https://{https(slow)}/{i}.dg" for i in range(8)]
    start = time.monotonic()
    found, size = preflight_network.probes([], [], ("", ""), links, str(tmp_path), 5, {}, [])
    assert time.monotonic() - start < 3 and len(found) == 8 and size == 80


def test_a_server_that_stumbles_once_is_asked_again(https, tmp_path):
    answers = [(503, {}, b""), (206, {"Content-Range": "bytes 0-0/10"}, b"x")]
    link = f"https://{https(lambda *_: answers.pop(0))}/a.dg"
    (found,), size = preflight_network.probes([], [], ("", ""), [link], str(tmp_path), 5, {}, [])
    assert (found["verdict"], size, answers) == ("pass", 10, [])


def test_a_call_that_hangs_does_not_hold_up_the_others():
    start = time.monotonic()
    results = in_parallel([lambda: time.sleep(30), lambda: "here"], 0.3, lambda index: f"late {index}")
    assert results == ["late 0", "here"] and time.monotonic() - start < 5
