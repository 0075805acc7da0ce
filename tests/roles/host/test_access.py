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


def firewalld(program, tmp_path, running=True, opened=""):
    program(
        "firewall-cmd",
        f"""case "$*" in
--state) {"true" if running else "exit 252"} ;;
*--query-port=*) case "{opened}" in *"$*"*) ;; *) exit 1 ;; esac ;;
*) echo "$*" >> {tmp_path}/log ;;
esac
""",
    )


def test_a_port_is_opened_now_and_for_later(call, program, tmp_path):
    firewalld(program, tmp_path)
    assert call("firewalld_port", check=True, port=443)["changed"] and not (tmp_path / "log").exists()
    assert call("firewalld_port", port=443)["changed"]
    assert (tmp_path / "log").read_text().splitlines() == ["--add-port=443/tcp", "--permanent --add-port=443/tcp"]
    firewalld(program, tmp_path, opened="--query-port=443/tcp --permanent --query-port=443/tcp")
    assert not call("firewalld_port", port=443)["changed"]


def test_no_firewalld_no_port(call, program, tmp_path):
    firewalld(program, tmp_path, running=False)
    assert not call("firewalld_port", port=443)["changed"]
