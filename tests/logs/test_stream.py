"""A server's sources become one stream by time: read, grouped, without secrets, explained, and followed as lines come."""

import io
import json
import threading
import time

import pytest

from tests import log_forms, utilities

utilities.use()

from ansible.module_utils.deepgram.components import KINDS  # noqa: E402
from ansible.module_utils.deepgram.log import FORMATS  # noqa: E402
from ansible.module_utils.logs import logs, sources  # noqa: E402
from ansible.module_utils.logs.redaction import MASK, Redaction  # noqa: E402
from ansible.module_utils.logs.signatures import KERNEL, NGINX, explained  # noqa: E402

# As each program writes them.
DOCKER = "2026-11-30T08:11:28.5{n}0000000Z {text}\n"
JOURNAL = {
    "__REALTIME_TIMESTAMP": "1796026288400000",
    "SYSLOG_IDENTIFIER": "systemd",
    "UNIT": "deepgram.service",
    "MESSAGE": "Started.",
}
XID_79 = "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
NGINX_LINE = (
    "2026/11/30 08:11:28 [alert] 901#901: *88 8192 worker_connections are not enough while connecting to upstream"
)


def read(stream):
    out = io.StringIO()
    stream.run(out)
    return [json.loads(line.removeprefix(logs.MARK)) for line in out.getvalue().splitlines() if line]


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """stream(text by source, explain): the lines of a server whose programs say that."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    def of(explain=False, since=0.0, redact=Redaction(()), **texts):  # noqa: B008
        found = {}
        readers = {"journal": sources.of_journal, "kernel": sources.of_kernel, "nginx": sources.of_nginx}
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            source = f"deepgram-{name}" if name in KINDS else name
            found[source] = (("cat", str(tmp_path / name)), readers.get(name) or sources.of_docker(source))
        return read(logs.Stream(since, False, explain, redact, found))

    return of


def test_one_stream_by_time(stream):
    engine = DOCKER.format(n=1, text="first") + DOCKER.format(n=3, text="third")
    found = stream(
        engine=engine,
        api=DOCKER.format(n=2, text="second"),
        journal=json.dumps(JOURNAL) + "\n",
        nginx=NGINX_LINE + "\n",
        kernel=json.dumps({**JOURNAL, "MESSAGE": XID_79, "__REALTIME_TIMESTAMP": "1796026289000000"}) + "\n",
    )
    assert [(line["source"], line["text"]) for line in found] == [
        ("nginx", NGINX_LINE[20:]),
        ("deepgram", "Started."),
        ("engine", "first"),
        ("api", "second"),
        ("engine", "third"),
        ("kernel", XID_79),
    ]
    assert found[1]["time"] == 1796026288.4 and found[2]["time"] == pytest.approx(1796026288.51)


@pytest.mark.parametrize("form", FORMATS)
def test_an_event_is_one_line_in_every_format_and_is_known(stream, form):
    reported = log_forms.reported(
        form, "Configuration file not found at /config/api.toml. Falling back to default", "WARN", "stem::config"
    )
    text = "".join(DOCKER.format(n=n, text=line) for n, line in enumerate(reported.splitlines()))
    (found,) = stream(explain=True, api=text)
    assert found["signature"] == "default configuration" and "/config" in found["fix"]
    assert "Configuration file not found" in found["text"] and "\n" not in found["text"]


def test_what_is_older_or_nobody_s_is_left_out(stream):
    other = {**JOURNAL, "MESSAGE": "usb 1-1: new device"}
    assert stream(kernel=json.dumps(other) + "\nno json\n{}\n", engine="no time at all\n") == []
    assert (
        stream(since=1796026288.52, engine=DOCKER.format(n=1, text="old") + DOCKER.format(n=3, text="new"))[0]["text"]
        == "new"
    )


def test_a_message_that_is_no_text(stream):
    """journalctl prints one with an escape in it as the numbers of its bytes."""
    bold = {**JOURNAL, "SYSLOG_IDENTIFIER": "deepgram-engine", "MESSAGE": list(b"\x1b[1mINFO\x1b[0m impeller: x")}
    (found,) = stream(journal=json.dumps(bold) + "\n")
    assert (found["source"], found["text"]) == ("engine", "INFO impeller: x")


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        ("Authorization: Token dg-abc123 x", f"Authorization: Token {MASK} x"),
        ('"authorization":"Bearer dg-abc123"', f'"authorization":"Bearer {MASK}"'),
        ("DEEPGRAM_API_KEY=dg-abc123", f"DEEPGRAM_API_KEY={MASK}"),
        ('{"api_key": "dg-abc123", "x": 1}', f'{{"api_key": "{MASK}", "x": 1}}'),
        ("https://user:dg-abc123@proxy.example/x", f"https://{MASK}@proxy.example/x"),
        ("GET /v1/listen?access_token=dg-abc123&x=1", f"GET /v1/listen?access_token={MASK}&x=1"),
        (
            'server: x, request: "POST /v1/listen?callback=http://a/b&keyterm=Ann HTTP/1.1", host: "x"',
            f'server: x, request: "POST /v1/listen?{MASK} HTTP/1.1", host: "x"',
        ),
        ('key=AsrKey { name: "nova-3" }', 'key=AsrKey { name: "nova-3" }'),
        ("the server's own k3y-of-ours", f"the server's own {MASK}"),
    ],
)
def test_keys_do_not_leave_the_server(stream, tmp_path, reported, shown):
    (tmp_path / "deepgram.env").write_text("# note\nDEEPGRAM_API_KEY='k3y-of-ours'\n")
    (found,) = stream(redact=Redaction((str(tmp_path / "*.env"),)), api=DOCKER.format(n=1, text=reported))
    assert found["text"] == shown and "abc123" not in found["text"]


@pytest.mark.parametrize(
    ("source", "line", "name"),
    [
        ("kernel", XID_79, "Xid 79"),
        ("kernel", "nf_conntrack: nf_conntrack: table full, dropping packet", "connections not tracked"),
        ("kernel", "Out of memory: Killed process 4711 (impeller)", "out of memory"),
        ("nginx", NGINX_LINE, "no room in NGINX"),
        ("nginx", "*1 connect() failed (111: Connection refused) while connecting to upstream", "API not reached"),
        ("nginx", "*9 no live upstreams while connecting to upstream", "no server takes requests"),
        ("nginx", "upstream timed out (110: Connection timed out) while reading response header from upstream", "API late"),
        ("nginx", "client intended to send too large body: 99 bytes", "file too large"),
        ("nginx", 'SSL_CTX_use_PrivateKey("/k") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)',
         "key of another certificate"),
        ("engine", "INFO impeller::config: Using devices: CPU", "CPU"),
        ("kernel", "NVRM: Xid (PCI:0000:3b:00): 13, pid=1, Graphics Exception", None),
        ("docker", "Starting up", None),
    ],
)  # fmt: skip
def test_known_lines_have_a_meaning_and_a_remedy(source, line, name):
    found = explained(source, line)
    assert found.get("signature") == name
    assert not name or (found["meaning"] and found["fix"])


def test_every_signature_has_a_line_here():
    reported = [mark.args[1] for mark in test_known_lines_have_a_meaning_and_a_remedy.pytestmark]
    assert {one.name for one in (*NGINX, *KERNEL)} <= {name for _, _, name in reported[0]}


def test_a_source_that_is_too_long_is_told(stream, monkeypatch):
    monkeypatch.setattr(logs, "MOST", 2)
    found = stream(engine="".join(DOCKER.format(n=n, text=f"line {n}") for n in range(3)))
    assert found[-1]["note"].startswith("deepgram-engine: the last 2 lines")


class Reader(io.StringIO):
    """Who reads, with the moments at which lines came; leaves after so many."""

    def __init__(self, most):
        super().__init__()
        self.lines, self.most, self.came = [], most, threading.Event()

    def write(self, text):
        if len(self.lines) >= self.most:
            raise BrokenPipeError
        if text.strip():
            self.lines.append((time.monotonic(), json.loads(text.removeprefix(logs.MARK))["text"]))
        return len(text)


def test_following_tells_lines_as_they_come_and_ends_with_its_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "SETTLES_S", 0.3)
    monkeypatch.setattr(logs, "BEAT_S", 0.3)
    early, late = (DOCKER.format(n=n, text=text).strip() for n, text in ((1, "early"), (2, "late")))
    script = f"echo '{early}'; sleep 1; echo '{late}'; exec sleep 60"
    found = {"deepgram-api": (("sh", "-c", script), sources.of_docker("deepgram-api"))}
    stream = logs.Stream(0.0, True, False, Redaction(()), found)
    reader, started = Reader(2), time.monotonic()
    with pytest.raises(BrokenPipeError):
        stream.run(reader)
    (sooner, first), (later, second) = reader.lines
    assert (first, second) == ("early", "late") and sooner < later
    assert time.monotonic() - started < 30, "a quiet stream that nobody reads any more ends by its beat"
    (program,) = stream.programs.values()
    assert program.poll() is None
    stream.end()
    assert program.wait(10) < 0


def test_the_commands_of_each_source():
    found = sources.commands(1796026288.5, True, ["deepgram-api"])
    assert found["deepgram-api"][0] == (
        "docker", "logs", "--timestamps", "--since", "1796026288.500", "--tail", "5000", "--follow", "deepgram-api")  # fmt: skip
    journal = found["journal"][0]
    assert "--since=@1796026288" in journal and "-f" in journal and journal[-2:] == ("-u", "nvidia-cdi-refresh.service")
    assert found["kernel"][0][-1] == "-k"
    once = sources.commands(0, False, [])
    assert "-f" not in once["journal"][0]
    assert once["/var/log/nginx/error.log"][0] == ("tail", "-n", "5000", "/var/log/nginx/error.log")


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("deepgram-engine", "engine"),
        ("deepgram-engine-a", "engine-a"),
        ("deepgram-api-flux-tts", "api-flux-tts"),
        ("deepgram-license-proxy", "license-proxy"),
    ],
)
def test_each_of_several_containers_speaks_under_its_own_name(name, component):
    reported = json.dumps({**JOURNAL, "SYSLOG_IDENTIFIER": name, "UNIT": None})
    assert sources.of_journal(reported)[1] == component
    other = json.dumps({**JOURNAL, "SYSLOG_IDENTIFIER": "deepgram-metrics", "UNIT": None})
    assert sources.of_journal(other)[1] == "deepgram-metrics"


def test_units_of_several_engines_are_asked_for():
    from fnmatch import fnmatchcase

    command = sources.commands(0, False, [])["journal"][0]
    asked = [command[at + 1] for at, word in enumerate(command) if word == "-u"]
    for unit in (
        "deepgram-engine-turns.service",
        "deepgram-api-flux.service",
        "deepgram-watch.service",
        "deepgram-engine.service",
    ):
        assert any(fnmatchcase(unit, pattern) for pattern in asked), unit
    assert asked[0] == "deepgram.service", "beside patterns that match nothing, journalctl wants a unit by name"


def test_the_key_of_a_licence_is_masked(tmp_path):
    (tmp_path / "api.toml").write_text(
        '[license]\nserver_url = ["https://b:8443"]\nkey = "licence-key-1"\nport = 8443\n'
    )
    redact = Redaction((), (str(tmp_path / "*.toml"),))
    assert redact("asked https://b:8443 with licence-key-1 at 8443") == f"asked https://b:8443 with {MASK} at 8443"
