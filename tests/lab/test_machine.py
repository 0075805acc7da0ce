"""What the lab reads off the machine it runs on."""

from lab import inventory, machine, servers, systems
from lab.containers import image
from lab.home import Home

DEB822 = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


def test_servers_take_the_machines_own_mirror(tmp_path):
    directory = tmp_path / "sources.list.d"
    directory.mkdir()
    (directory / "debian.sources").write_text(DEB822)
    (directory / "other.list").write_text("deb [signed-by=/x] https://other.example/linux/debian bookworm stable\n")
    assert machine.debian_sources(tmp_path) == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_one_line_format_counts_too(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("# comment\ndeb http://mirror.example/debian/ bookworm main contrib\n")
    assert machine.debian_sources(tmp_path)[0] == "deb http://mirror.example/debian trixie main"


def test_a_machine_that_is_not_debian_leaves_it_to_mmdebstrap(tmp_path):
    directory = tmp_path / "sources.list.d"
    directory.mkdir()
    (directory / "ubuntu.sources").write_text(DEB822.replace("bookworm", "noble"))
    assert machine.debian_sources(tmp_path) == []


def test_another_home_has_names_of_its_own(tmp_path):
    usual, other = Home(inventory.Path("/var/lib/dgctl-lab")), Home(tmp_path)
    assert usual.suffix == ""
    assert other.suffix.startswith("-")
    assert usual.network != other.network
    assert usual.services != other.services


def test_minimums_are_lowered_only_where_the_machine_has_less(monkeypatch):
    monkeypatch.setattr(inventory.os, "cpu_count", lambda: 2)
    assert "preflight_min_cpu_cores: 2 # usual: 4" in inventory._minimums()
    monkeypatch.setattr(inventory.os, "cpu_count", lambda: 64)
    assert "cpu_cores" not in inventory._minimums()


def test_systems_older_than_debian_under_them_get_an_older_python(monkeypatch):
    """Enterprise Linux 9 and Ubuntu 22.04 have 3.9 and 3.10 of their own."""
    old = {name for name, system in systems.SYSTEMS.items() if servers.has_old_python(system)}
    assert old in ({"el9", "ubuntu2204"}, set()) and bool(old) == bool(machine.debian_sources())
    made = image.Image("x", [], machine.Path("/nowhere"), also=machine.OLD_PYTHON_SUITE)
    monkeypatch.setattr(
        image, "debian_sources", lambda release: [f"deb M {release} main", f"deb M {release}-updates main"]
    )
    suites = [line.split()[2] for line in made.sources()]
    assert suites == [machine.SUITE, f"{machine.SUITE}-updates", machine.OLD_PYTHON_SUITE]
