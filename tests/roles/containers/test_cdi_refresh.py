"""The refresh of the CDI specification: its unit may have used up its starts before there was a driver."""

from ansible.module_utils.nvidia import cdi_refresh

# As systemd does: no start after too many, until somebody resets the count.
SYSTEMCTL = """
echo "$*" >> {0}/asked
case $1 in
reset-failed) rm -f {0}/used-up ;;
restart) test ! -e {0}/used-up || {{ echo attempted too often >&2; exit 1; }} ;;
is-enabled) test -e {0}/enabled ;;
esac
"""


def test_starts_that_are_used_up_do_not_count(program, tmp_path):
    program("systemctl", SYSTEMCTL.format(tmp_path))
    (tmp_path / "used-up").touch()
    assert cdi_refresh.restart()[0] == 0


def test_only_a_unit_that_is_enabled_is_restarted(program, tmp_path):
    program("systemctl", SYSTEMCTL.format(tmp_path))
    cdi_refresh.restart_if_enabled()
    assert "restart" not in (tmp_path / "asked").read_text()
    (tmp_path / "enabled").touch()
    cdi_refresh.restart_if_enabled()
    assert "restart nvidia-cdi-refresh.service" in (tmp_path / "asked").read_text()
