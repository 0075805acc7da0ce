"""deepgram-upstreams: how NGINX gets its lists, and that no answer is lost meanwhile."""

import subprocess
import sys

import pytest
import yaml

from tests.roles_app.conftest import load

from .upstreams import FOLDER, PROGRAM, ROLE, down

MODULE = load("modules", "deepgram_upstreams")

commands, files, nginx, settle = PROGRAM.commands, PROGRAM.files, PROGRAM.nginx, PROGRAM.settle


def test_a_stop_that_comes_as_a_file_is_put_in_place_gets_through(tmp_path, monkeypatch):
    replace = files.os.replace

    def stopped(old, new):
        replace(old, new)
        raise SystemExit(143)

    monkeypatch.setattr(files.os, "replace", stopped)
    with pytest.raises(SystemExit):
        files.write(str(tmp_path / "state.json"), "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_nginx_is_left_alone_while_nothing_changes(proxy):
    for _ in range(5):
        proxy.tick()
    assert len(proxy.nginx.reloads) == 1


def test_a_refused_list_leaves_the_old_one_and_is_tried_again(proxy):
    proxy.tick()
    before = proxy.nginx.list.read_text()
    proxy.nginx.refused = "down;  # a"
    with pytest.raises(files.Refused, match="nginx refuses its configuration"):
        commands.drain(["a"], "operator", "")
    assert proxy.nginx.list.read_text() == before and len(proxy.nginx.reloads) == 1
    proxy.nginx.refused = ""
    proxy.tick()
    assert down(proxy) == {"a"} and len(proxy.nginx.reloads) == 2


def test_killed_between_writing_and_reloading_it_reloads_next_time(proxy, monkeypatch):
    proxy.tick()

    def killed(pid):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(nginx, "reload", killed)
        commands.drain(["a"], "operator", "")
    assert len(proxy.nginx.reloads) == 1
    proxy.tick()
    assert len(proxy.nginx.reloads) == 2 and "down;  # a" in proxy.nginx.reloads[-1]


@pytest.mark.parametrize(("callers", "seconds"), [(0, 0), (1, 9)])
def test_answers_close_their_connections_for_a_while_before_a_reload(proxy, monkeypatch, callers, seconds):
    nodes = [("a", "192.0.2.1:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", "")]
    proxy.configure(*nodes, closing_s=9, port=8443)
    monkeypatch.setattr(nginx, "clients", lambda port: callers if port == 8443 else pytest.fail())
    commands.drain(["a"], "operator", "")
    assert proxy.nginx.waits == [seconds] and not proxy.nginx.closing.exists()
    commands.reload()
    assert proxy.nginx.waits == [seconds, 2 * seconds] and not proxy.nginx.closing.exists()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_no_file_s_is_refused(proxy, name):
    with pytest.raises(PROGRAM.files.Refused, match="is no server's name"):
        commands.drain([name], "operator", "")
    assert not proxy.nginx.reloads


def test_what_fell_is_not_waited_for_so_long(proxy, monkeypatch):
    monkeypatch.setattr(nginx, "clients", lambda port: 1)
    monkeypatch.setattr(PROGRAM.watch, "settle", lambda *given: calls.append(given[2:]) or sys.exit())
    calls = []
    with pytest.raises(SystemExit):
        PROGRAM.watch.watch()
    assert calls == [(PROGRAM.watch.FALL_CLOSING_S,)]
    with nginx.closing({"closing_s": 9}, *calls[0]):
        assert proxy.nginx.slept == pytest.approx(1.5, abs=0.11)


def test_a_reload_that_fails_or_is_killed_leaves_no_connection_closing(proxy, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(files.Refused):
        patch.setattr(nginx, "reload", lambda pid: (_ for _ in ()).throw(files.Refused("no")))
        commands.drain(["a"], "operator", "")
    assert not proxy.nginx.closing.exists()
    proxy.nginx.closing.touch()  # as SIGKILL leaves it
    proxy.tick()
    proxy.nginx.closing.touch()
    with settle.alone():
        assert not proxy.nginx.closing.exists(), "whoever comes next takes it away"


def test_callers_are_counted_by_port_and_not_who_only_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(nginx, "PROC", str(tmp_path))
    (tmp_path / "net").mkdir()
    row = "   0: 0100007F:{port:04X} 0100007F:9C40 {state} 00000000:00000000 00:00000000 00000000 0 0 1 1"
    rows = [row.format(port=port, state=state) for port, state in ((443, "0A"), (443, "01"), (443, "06"), (8443, "01"))]
    (tmp_path / "net/tcp").write_text("\n".join(["  sl  local_address rem_address st", *rows]) + "\n")
    assert (nginx.clients(443), nginx.clients(8443), nginx.clients(80)) == (1, 1, 0)


def test_a_reload_ends_when_the_old_workers_take_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(nginx, "PROC", str(tmp_path))
    (tmp_path / "7/task/7").mkdir(parents=True)

    def worker(pid, words):
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "cmdline").write_text(f"nginx: {words}\0")

    def workers(*pids):
        (tmp_path / "7/task/7/children").write_text(" ".join(map(str, pids)))

    worker(8, "worker process")
    workers(8)
    moments = iter([lambda: None, lambda: (worker(9, "worker process"), workers(8, 9))])
    done = lambda: worker(8, "worker process is shutting down")  # noqa: E731
    monkeypatch.setattr(nginx.os, "kill", lambda pid, number: None)
    monkeypatch.setattr(nginx.time, "sleep", lambda seconds: next(moments, done)())
    nginx.reload(7)
    assert nginx.accepting(7) == {"9"}
    monkeypatch.setattr(nginx, "RELOAD_S", 0)
    with pytest.raises(files.Refused):
        nginx.reload(7)


def test_the_role_brings_each_file_of_the_program():
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    brought = [entry["path"].rpartition("/")[2] for entry in variables["_nginx_proxy_program_files"]]
    assert [name for name in brought if name.endswith(".py")] == sorted(path.name for path in FOLDER.glob("*.py"))
    launcher = (ROLE / "files/deepgram-upstreams").read_text()
    assert variables["_nginx_proxy_program_folder"] in launcher and variables["_nginx_proxy_program"] == MODULE.PROGRAM


def test_the_program_is_started_as_a_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-B", str(FOLDER), "render"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("deepgram-upstreams: /etc/nginx/deepgram/upstreams.json is")
