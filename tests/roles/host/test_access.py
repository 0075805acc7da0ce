"""SELinux and firewalld, by programs that tell what the test wants and note what they are asked."""

import pytest


@pytest.fixture
def selinux(program, tmp_path, monkeypatch):
    """SELinux is on; selinux() is what was changed."""
    import selinux_settings

    (tmp_path / "enforce").touch()
    monkeypatch.setattr(selinux_settings, "ENFORCE", str(tmp_path / "enforce"))
    program("getsebool", 'echo "$1 --> off"\n')
    for name in ("setsebool", "restorecon"):
        program(name, f"echo {name} $* >> {tmp_path}/log\n")
    rules = f"{tmp_path}/old(/.*)?  all files  system_u:object_r:var_t:s0"
    program(
        "semanage",
        f"""case "$*" in
"port -l -n") printf 'http_port_t                    tcp      80, 81, 443\\nmonopd_port_t  tcp  1234\\nx_t  udp  9443\\n' ;;
"fcontext -l -C -n") echo '{rules}' ;;
*) echo semanage $* >> {tmp_path}/log ;;
esac
""",
    )
    (tmp_path / "log").touch()
    return lambda: (tmp_path / "log").read_text().splitlines()


def ports(*numbers):
    return [{"port": number, "type": "http_port_t"} for number in numbers]


def test_nothing_where_selinux_is_off(call, selinux, tmp_path):
    (tmp_path / "enforce").unlink()
    assert not call("selinux_settings", booleans={"httpd_can_network_connect": True}, ports=ports(9443))["changed"]
    assert selinux() == []


def test_what_is_not_so_is_made_so(call, selinux, tmp_path):
    wish = {"booleans": {"httpd_can_network_connect": True, "other": False}, "ports": ports(443, 1234, 9443)}
    wish["contexts"] = [{"path": str(tmp_path / name), "type": "httpd_config_t"} for name in ("old", "new")]
    (tmp_path / "new").mkdir()
    planned = call("selinux_settings", check=True, **wish)
    assert planned["changed"] and selinux() == []
    assert call("selinux_settings", **wish)["commands"] == planned["commands"] == selinux()
    assert selinux() == [
        "setsebool -P httpd_can_network_connect on",
        "semanage port -m -t http_port_t -p tcp 1234",
        "semanage port -a -t http_port_t -p tcp 9443",
        f"semanage fcontext -m -t httpd_config_t {tmp_path}/old(/.*)?",
        f"semanage fcontext -a -t httpd_config_t {tmp_path}/new(/.*)?",
        f"restorecon -R {tmp_path}/new",
    ]


def test_what_is_so_costs_nothing(call, selinux, program):
    program("getsebool", 'echo "$1 --> on"\n')
    assert not call("selinux_settings", booleans={"httpd_can_network_connect": True}, ports=ports(443))["changed"]


def test_without_semanage_the_error_says_which_package(call, selinux, program):
    program("semanage", "exit 127\n")
    assert "policycoreutils-python-utils" in call("selinux_settings", ports=ports(9443))["fix"]


@pytest.fixture
def firewalld(program, tmp_path, monkeypatch):
    """A firewalld that remembers its ports: firewalld.now and firewalld.later; `broken` names what it refuses to do."""
    import firewalld_ports

    monkeypatch.setattr(firewalld_ports, "NOTES", str(tmp_path / "deepgram" / "ports.json"))
    return Firewalld(program, tmp_path / "firewalld")


class Firewalld:
    def __init__(self, program, folder):
        self.folder = folder
        for name in ("now", "later"):
            (folder / name).mkdir(parents=True)
        (folder / "runs").touch()
        program(
            "firewall-cmd",
            f"""cd {folder}; kind=now
[ "$1" = --permanent ] && {{ kind=later; shift; }}
[ -e broken ] && case "$1" in $(cat broken)*) echo "Error: COMMAND_FAILED" >&2; exit 1 ;; esac
case "$1" in
--state) [ -e runs ] || exit 252 ;;
--query-port=*/tcp) p=${{1#*=}}; [ -e $kind/${{p%/tcp}} ] ;;
--add-port=*/tcp) p=${{1#*=}}; touch $kind/${{p%/tcp}} ;;
--remove-port=*/tcp) p=${{1#*=}}; rm $kind/${{p%/tcp}} ;;
*) exit 2 ;;
esac
""",
        )

    def ports(self):
        """(open now, open after a reload)."""
        return tuple(sorted(int(path.name) for path in (self.folder / kind).iterdir()) for kind in ("now", "later"))

    def open(self, port, *kinds):
        for kind in kinds or ("now", "later"):
            (self.folder / kind / str(port)).touch()

    def refuse(self, word):
        (self.folder / "broken").write_text(word)


def proxy(call, *ports, **more):
    return call("firewalld_ports", owner="nginx_proxy", ports=list(ports), **more)


def test_a_port_is_opened_now_and_for_later(call, firewalld):
    assert proxy(call, 443, check=True)["changed"] and firewalld.ports() == ([], [])
    assert proxy(call, 443)["changed"] and firewalld.ports() == ([443], [443])
    assert not proxy(call, 443)["changed"]


def test_a_port_that_is_no_longer_asked_for_is_closed(call, firewalld):
    proxy(call, 443, 80)
    assert not proxy(call, 443, close=False)["changed"] and firewalld.ports() == ([80, 443], [80, 443])
    assert proxy(call, 443, check=True)["changed"] and firewalld.ports() == ([80, 443], [80, 443])
    assert proxy(call, 443)["changed"] and firewalld.ports() == ([443], [443])
    assert not proxy(call, 443)["changed"]
    assert proxy(call)["changed"] and firewalld.ports() == ([], [])


def test_what_somebody_else_opened_stays_open(call, firewalld, tmp_path):
    firewalld.open(80)
    firewalld.open(8080, "later")  # without a reload yet
    firewalld.open(22)
    proxy(call, 443, 80, 8080)
    assert proxy(call)["changed"] and firewalld.ports() == ([22, 80, 8080], [22, 80, 8080])
    proxy(call, 80)
    (tmp_path / "deepgram" / "ports.json").write_text("{")
    assert not proxy(call)["changed"] and firewalld.ports()[1] == [22, 80, 8080]


def test_owners_close_their_own_ports_alone(call, firewalld):
    proxy(call, 443)
    call("firewalld_ports", owner="node_watch", ports=[9700])
    assert not proxy(call, 443)["changed"] and call("firewalld_ports", owner="node_watch", ports=[])["changed"]
    assert firewalld.ports() == ([443], [443])


def test_what_was_closed_by_hand_is_no_error_and_no_change(call, firewalld):
    proxy(call, 80)
    for kind in ("now", "later"):
        (firewalld.folder / kind / "80").unlink()
    assert not proxy(call)["changed"]
    firewalld.open(80)
    assert not proxy(call)["changed"] and firewalld.ports() == ([80], [80]), "it is somebody else's by now"


@pytest.mark.parametrize(("word", "said"), [("--add", "does not let 80/tcp in"), ("--remove", "does not close 80/tcp")])
def test_what_failed_is_said_and_made_good_by_the_next_run(call, firewalld, word, said):
    if word == "--remove":
        proxy(call, 80)
    firewalld.refuse(word)
    failed = proxy(call, *([80] if word == "--add" else []))
    assert (
        failed["failed"]
        and said in failed["msg"]
        and "COMMAND_FAILED" in failed["msg"]
        and "--list-all" in failed["fix"]
    )
    (firewalld.folder / "broken").unlink()
    proxy(call, *([80] if word == "--add" else []))
    assert proxy(call)["changed"] is (word == "--add") and firewalld.ports() == ([], [])


def test_no_firewalld_no_port(call, firewalld):
    proxy(call, 80)
    (firewalld.folder / "runs").unlink()
    assert not proxy(call, 443)["changed"] and firewalld.ports() == ([80], [80])
    (firewalld.folder / "runs").touch()
    assert proxy(call)["changed"] and firewalld.ports() == ([], [])
