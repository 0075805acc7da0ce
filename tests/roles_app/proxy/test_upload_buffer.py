"""upload_buffer: a file system that holds hard, made, replaced and taken away; what callers get of a real NGINX."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.host import loop_mount

from tests.doctor import certificates
from tests.roles_app.conftest import ROOT, load
from tests.roles_app.proxy.real_nginx import NGINX, Proxy
from tests.roles_app.rendering import of, render, value

MODULE = load("modules", "upload_buffer")
FAMILIES = yaml.safe_load((ROOT / "roles/platform/vars/main/families.yml").read_text())["_platform_families"]
MB = 1000 * 1000
UNIT = "var-lib-deepgram-uploads.mount"
KEYED = {
    "nginx_proxy_callers": "keys",
    "nginx_proxy_request_buffering": True,
    "__nginx_proxy_packages": {"installed": {"nginx": "1.26.3"}},
}


def written(folder, family="apt"):
    """The unit's text, with the image and the place in a folder of the test's."""
    places = {"_nginx_proxy_uploads": f"{folder}/uploads", "_nginx_proxy_uploads_image": f"{folder}/uploads.img"}
    return render("nginx_proxy", "uploads.mount.j2", _platform_family=FAMILIES[family], **KEYED, **places)


class Systemd:
    """What systemctl does with the unit: mounts what the unit's own file says, with its options."""

    def __init__(self, unit):
        self.unit, self.enabled, self.asked = Path(unit), False, []

    def properties(self, *_):
        mounted = os.path.ismount(self._says("Where")) if self.unit.exists() else False
        state = ("active" if mounted else "inactive", "enabled" if self.enabled else "disabled", "no")
        return dict(zip(("ActiveState", "UnitFileState", "NeedDaemonReload"), state))

    def restart(self, *_):
        self.asked.append("restart")
        self.stop()
        what, where, options = (self._says(word) for word in ("What", "Where", "Options"))
        subprocess.run(["mount", "-t", self._says("Type"), "-o", options, what, where], check=True)
        self.enabled = True

    def systemctl(self, _module, _unit, _fix, *words):
        self.asked.append(words[0])
        if words[0] == "disable":
            self.stop()
            self.enabled = False

    def stop(self):
        where = self._says("Where")
        if os.path.ismount(where):
            subprocess.run(["umount", "--lazy", where], check=True)

    def _says(self, key):
        return next(line.partition("=")[2] for line in self.unit.read_text().splitlines() if line.startswith(f"{key}="))


def loops():
    """Whether a file can be mounted here."""
    return os.getuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4")


@pytest.fixture
def buffer(tmp_path, monkeypatch):
    """buffer(state="present", size=24, check_mode=False): whether something changed. A GB is a MB here."""
    if not loops():
        pytest.skip("nothing may be mounted here")
    unit = tmp_path / UNIT
    unit.write_text(written(tmp_path))
    systemd = Systemd(unit)
    monkeypatch.setattr(MODULE, "GB", MB)
    for name in ("properties", "restart", "systemctl"):
        monkeypatch.setattr(MODULE, name, getattr(systemd, name))

    def ran(state="present", size=24, check_mode=False):
        def fail_json(**words):
            raise AssertionError(words["msg"])

        params = {"state": state, "image": f"{tmp_path}/uploads.img", "place": f"{tmp_path}/uploads"}
        params |= {"unit": str(unit), "size_gb": size}
        module = SimpleNamespace(params=params, check_mode=check_mode, fail_json=fail_json)
        return (MODULE.present if state == "present" else MODULE.absent)(module)

    ran.folder, ran.systemd, ran.unit = tmp_path, systemd, unit
    yield ran
    if unit.exists():
        systemd.stop()


def test_all_of_its_room_is_taken_and_a_second_run_changes_nothing(buffer):
    image, place = buffer.folder / "uploads.img", buffer.folder / "uploads"
    assert buffer(check_mode=True) is True and not image.exists() and not place.exists()
    assert buffer() is True and buffer() is False and buffer(check_mode=True) is False
    assert image.stat().st_size == 24 * MB <= image.stat().st_blocks * 512, "mkfs gave its room back"
    assert image.stat().st_mode & 0o777 == 0o600
    assert loop_mount.backing(str(place)) == str(image)
    flags = subprocess.run(["findmnt", "-no", "OPTIONS", place], capture_output=True, text=True).stdout
    assert {"nosuid", "nodev", "noexec"} <= set(flags.strip().split(","))
    with pytest.raises(OSError, match="No space left"):
        (place / "x").write_bytes(b"x" * 24 * MB)


def test_another_size_is_another_file_and_nginx_is_to_read_its_files_again(buffer):
    assert buffer(size=24)
    os.utime(buffer.unit, (1, 1))
    with open(buffer.folder / "uploads/held", "wb") as held:
        assert buffer(size=32) and not buffer(size=32)
        held.write(b"x" * MB)  # what is under way goes on
    assert (buffer.folder / "uploads.img").stat().st_size == 32 * MB and buffer.unit.stat().st_mtime > 1
    assert not (buffer.folder / "uploads/held").exists()


@pytest.mark.parametrize("step", ["os.utime", "os.posix_fallocate", "run", "os.replace", "sync", "block", "restart"])
def test_a_run_that_was_killed_is_run_again(buffer, monkeypatch, step):
    """At each step; also where a power cut left half of the file, which nobody mounts."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*((os, step[3:]) if step.startswith("os.") else (MODULE, step)), killed)
        buffer()
    if not (buffer.folder / "uploads.img").exists():
        (buffer.folder / "uploads.img.new").write_bytes(b"torn")
    assert buffer() is True and buffer() is False
    assert sorted(path.name for path in buffer.folder.iterdir()) == sorted(["uploads", "uploads.img", UNIT])


def test_an_image_that_somebody_replaced_is_mounted_again(buffer):
    buffer()
    shutil.copy(buffer.folder / "uploads.img", buffer.folder / "copy")
    os.replace(buffer.folder / "copy", buffer.folder / "uploads.img")
    assert loop_mount.backing(f"{buffer.folder}/uploads").endswith("(deleted)")
    assert buffer() is True and buffer() is False


def test_without_room_it_says_how_much_there_is(buffer, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        module = SimpleNamespace(
            params={"image": f"{small}/uploads.img"}, fail_json=lambda **words: said.append(words["msg"])
        )
        said = []
        MODULE.create(module, 24 * MB)
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)
    assert "24 GB cannot be taken: No space left on device; 8.4 GB are free there" in said[0]
    assert "nginx_proxy_upload_buffer_gb lower" in said[0]


def test_nothing_of_it_stays(buffer):
    buffer()
    with open(buffer.folder / "uploads/held", "wb"):
        assert buffer("absent", check_mode=True) is True and buffer.unit.exists()
        assert buffer("absent") is True and buffer("absent") is False
    assert list(buffer.folder.iterdir()) == [] and buffer.systemd.asked[-2:] == ["disable", "daemon-reload"]


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    (tmp_path / UNIT).write_text(render("nginx_proxy", "uploads.mount.j2", _platform_family=FAMILIES["dnf"], **KEYED))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT], capture_output=True, text=True)
    assert UNIT not in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize(("family", "labelled"), [("apt", False), ("dnf", True)])
def test_where_programs_are_confined_what_is_mounted_is_nginx_s(tmp_path, family, labelled):
    assert ("context=system_u:object_r:httpd_var_lib_t:s0" in written(tmp_path, family)) is labelled


def test_it_is_there_by_default_where_keys_are_asked_for_and_files_received_whole():
    capped = "_nginx_proxy_capped"
    assert value("nginx_proxy", capped, **KEYED) is True
    assert value("nginx_proxy", capped, **KEYED, nginx_proxy_upload_buffer_gb=0) is False
    assert value("nginx_proxy", capped, **(KEYED | {"nginx_proxy_request_buffering": False})) is False
    assert value("nginx_proxy", capped, **(KEYED | {"nginx_proxy_callers": "open"})) is False
    assert (
        value("nginx_proxy", capped, **(KEYED | {"nginx_proxy_callers": "open", "nginx_proxy_upload_buffer_gb": 4}))
        is True
    )


def test_preflight_asks_for_its_room():
    desired = {"image": value("nginx_proxy", "_nginx_proxy_uploads_image"), "gb": 16}
    known = {"preflight_parts": ["proxy"], **KEYED}
    assert value("preflight", "_preflight_uploads", **known) == desired
    assert value("preflight", "_preflight_uploads", **known, nginx_proxy_upload_buffer_gb=4) == {**desired, "gb": 4}
    several = of("proxy", host="edge1", servers={"node": {"gpu1": {}, "gpu2": {}}})
    asked = {"preflight_parts": ["proxy"], "nginx_proxy_callers": "keys"}
    assert value("preflight", "_preflight_uploads", **asked, **several) == desired
    assert value("preflight", "_preflight_uploads", **asked, **of("node")) == {}
    for changes in ({"preflight_parts": ["api"]}, {"nginx_proxy_callers": "open"}, {"nginx_proxy_upload_buffer_gb": 0}):
        assert value("preflight", "_preflight_uploads", **{**known, **changes}) == {}


def test_it_is_there_before_the_site_and_taken_away_after_it():
    folder = ROOT / "roles/nginx_proxy/tasks"
    order = [task["name"] for task in yaml.safe_load((folder / "main.yml").read_text())]
    assert order.index("Uploads") < order.index("Site") < order.index("No room for uploads")
    unit = value("nginx_proxy", "_nginx_proxy_uploads_unit")
    assert unit == f"/etc/systemd/system/{value('nginx_proxy', '_nginx_proxy_uploads')[1:].replace('/', '-')}.mount"


@pytest.fixture
def proxy(buffer, tmp_path):
    """A real NGINX whose site has its uploads there; anybody may ask. `proxy()` starts it."""
    if not NGINX:
        pytest.skip("no nginx on this machine (apt-get install nginx)")
    certificate = tmp_path / "server.pem"
    certificate.write_text("".join(certificates.made("gpu1")))
    with contextlib.ExitStack() as opened:

        def started():
            more = {"nginx_proxy_request_buffering": True, "nginx_proxy_upload_buffer_gb": 24}
            found = Proxy(tmp_path, str(certificate), _nginx_proxy_uploads=f"{tmp_path}/uploads", **more)
            opened.callback(found.close)
            return found

        yield started


def sent(its, opened, size, length=None):
    """A connection on which `size` bytes of a body were sent, of `length`."""
    stream = opened.enter_context(its.open())
    stream.settimeout(5)
    head = f"POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\nContent-Length: {length or size}\r\n\r\n"
    with contextlib.suppress(OSError):
        stream.sendall(head.encode() + b"x" * size)
    return stream


def held(its):
    """The files of bodies that NGINX's workers have open. It takes their names away at once."""
    master = its.children[0].pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    found = [os.readlink(file) for worker in workers for file in Path(f"/proc/{worker}/fd").iterdir()]
    return [path for path in found if path.startswith(str(its.folder)) and path.endswith(" (deleted)")]


def answered(stream, seconds=5):
    """The answer's status; nothing where none comes in time."""
    stream.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        return stream.recv(100).split()[1]
    return b""


def test_a_full_buffer_is_503_at_once_and_the_disk_below_has_room(buffer, proxy):
    buffer()
    its = proxy()
    with contextlib.ExitStack() as opened:
        streams = [sent(its, opened, 4 * MB, 2 << 30) for _ in range(12)]
        answers = [answered(stream, 1) for stream in streams]
        assert set(answers) == {b"", b"503"} and answers.count(b"503") >= 4, answers
        assert {Path(path).parent for path in held(its)} == {buffer.folder / "uploads/body"}, (
            "nothing of them lies elsewhere"
        )
        assert its.ask()[0] == 200
    assert answered(sent(its, contextlib.ExitStack(), 3 * MB)) == b"200"


def test_where_it_is_not_mounted_large_files_are_refused_and_small_ones_served(buffer, proxy):
    buffer()
    buffer.systemd.stop()
    its = proxy()
    with contextlib.ExitStack() as opened:
        assert answered(sent(its, opened, 3 * MB)) == b"503" and its.ask()[0] == 200
    assert [path.name for path in (buffer.folder / "uploads").iterdir()] == ["body"]
    assert (buffer.folder / "uploads/body").is_file()
