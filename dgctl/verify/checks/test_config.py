"""Configuration and secrets: the containers run with the files on the host, and nobody else reads the key."""

from datetime import UTC, datetime

import pytest
from testinfra.host import Host

from dgctl.verify import models
from dgctl.verify.ask import Answer, ask
from dgctl.verify.containers import SERVICES, folder
from dgctl.verify.expect import NO_CONCERN

GROUPS = ("api", "engine", "license_proxy", "billing")
each = pytest.mark.parametrize("part", SERVICES)
# Files that hold secrets. Absent ones are fine: a registry without a password needs no login file.
SECRET_FILES = "{0}/deepgram.env {0}/registry/config.json {0}/license/license.dg /etc/nginx/tls/deepgram.key"
# Billing has no key. Its licence, and the files with the licence's key, may belong to the user that the images run as.
WITHOUT_KEY, OWNED = "billing", ("/license/license.dg", ".toml")
# Names of programs that carry the key in their arguments. It goes through a pipe into grep: this very check
# must not put it where it looks for it.
KEY_CARRIERS = """
key=$(sed -n 's/^DEEPGRAM_API_KEY=//p' ETC/deepgram.env | tr -d "'\\"")
test -n "$key" || { echo 'no DEEPGRAM_API_KEY in ETC/deepgram.env' >&2; exit 3; }
printf '%s\\n' "$key" | grep -alF -f - /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
  tr '\\0' '\\n' <"$file" | head -n 1
done"""


@pytest.fixture(scope="module")
def files(host: Host, runtime, parts, desired) -> dict[str, Answer]:
    """Each TOML on the host and as its running process sees it under /config, and the files with secrets."""
    folders = sorted({folder(name) for name in parts})
    secrets = " ".join(SECRET_FILES.format(etc) for etc in folders)
    keyed = [name for name in parts if name != WITHOUT_KEY] if desired["deepgram_air_gap"] else []
    secrets += "".join(f" {runtime.file(name)}" for name in keyed)
    asked = {"modes": f"stat -c '%a %U %n' {secrets} 2>/dev/null | sort -u"}
    with_key = [etc for etc in folders if etc != folder(WITHOUT_KEY)]
    asked["carriers"] = " && ".join(f"({KEY_CARRIERS.replace('ETC', etc)})" for etc in with_key) or "true"
    for name in parts:
        file, pid = runtime.file(name), f"$({runtime.inspect(name, '{{.State.Pid}}')})"
        asked[f"{name}_outside"] = f"sum=$(sha256sum < {file}) && echo ${{sum%% *}}"
        inside = f"/proc/$p/root/config/{name}.toml"
        asked[f"{name}_inside"] = f'p={pid}; test "$p" -gt 0 && sum=$(sha256sum < {inside}) && echo ${{sum%% *}}'
        asked[f"{name}_written"] = f"stat -c %Y {file}"
    return ask(host, asked)


@each
def test_same_file(files, runtime, part, expect):
    """The container sees the file on the host (a file mounted alone stays on its old content)."""
    inside, outside = files[f"{part}_inside"], files[f"{part}_outside"]
    expect(inside, outside, runtime.recreate(part), ok=bool(inside.text) and inside.text == outside.text)


@each
def test_read_at_start(files, containers_seen, runtime, part, expect):
    """The file is older than the container's start: a later edit has not been read yet."""
    written, started = files[f"{part}_written"], containers_seen[part].started
    fresh = bool(written.text) and started is not None and int(written.text) <= started.timestamp() + 1
    seen = f"written {_clock(written.text)}, started {started:%F %T} UTC" if started else "not started"
    expect(seen, "written before the start", runtime.recreate(part), ok=fresh)


@each
def test_own_configuration(service, containers_seen, runtime, part, expect):
    """No container runs on its built-in configuration because it did not find its file."""
    fallen = models.diagnose(service.logs[part], ["default configuration"])
    fix = f"ls -l {runtime.file(part)}; {runtime.recreate(part)}"
    seen = fallen.line if fallen else []
    seen = seen if containers_seen[part].running else containers_seen[part]
    expect(seen, [], fix, ok=containers_seen[part].running and not fallen)


@each
def test_fips(service, containers_seen, part, expect):
    """A program of an image for FIPS says at its start that it runs in that mode: the image alone does not make it so."""
    if not containers_seen[part].release.endswith("-fips"):
        pytest.skip(NO_CONCERN)
    fallen = models.diagnose(service.logs[part], ["not FIPS"], fips=True)
    fix = fallen.remediation if fallen else ""
    expect(fallen.line if fallen else "nothing said against it", "FIPS mode", fix, ok=not fallen)


def _clock(seconds: str) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%F %T}" if seconds else "never"


def _is_private(line: str) -> bool:
    mode, owner, path = line.split(" ", 2)
    return mode in ("600", "400") and (owner == "root" or path.endswith(OWNED))


def test_secrets_private(files, expect):
    loose = [line for line in files["modes"].lines if not _is_private(line)]
    paths = " ".join(line.split(" ", 2)[2] for line in loose)
    private = bool(files["modes"].lines) and not loose
    fix = f"chmod 600 {paths}; chown root {paths}" if loose else "dgctl provision"
    expect(loose or files["modes"].lines or "no such file", "600 root", fix, ok=private)


def test_key_not_in_arguments(files, expect):
    """No process carries the Deepgram key in its arguments, where every user could read it."""
    carriers = files["carriers"]
    fix = "start that program without the key in its arguments; the key belongs into /etc/deepgram/deepgram.env"
    expect(carriers.lines if carriers.ok else carriers, [], fix)
