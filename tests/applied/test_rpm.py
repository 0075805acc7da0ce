"""Packages, as rpm and versionlock have them."""

import sqlite3

import pytest

ROWS = [
    "nginx\t1:1.20.1-1.el9\tx86_64",
    "kernel-core\t5.14.0-1\tx86_64",
    "kernel-core\t5.14.0-2\tx86_64",
    "a\t2-1\tnoarch",
]


@pytest.fixture
def rpm(host):
    """rpm(*rows): rpm has these packages; rpm.lock(*lines): versionlock keeps them."""
    (host.root / "dnf").touch()
    host.set("packages.rpm.query", LOCKLIST=str(host.root / "locks"), HISTORY=str(host.root / "history.sqlite"))

    def write(*rows):
        (host.root / "rows").write_text("".join(row + "\n" for row in rows))
        host.program("rpm", f"cat {host.root}/rows\n")

    write.lock = lambda *lines: (host.root / "locks").write_text(
        "# Added lock\n" + "".join(line + "\n" for line in lines)
    )
    write(*ROWS)
    write.lock("nginx-1:1.20.1-1.el9.*", "a-0:2-1.*", "!b-0:1-1.*")
    host.record(packages=["nginx", "a", "kernel-core"], held=["nginx", "a"])
    assert host.drift() == []
    return write


def test_another_version(host, rpm):
    rpm(ROWS[0].replace("1.20.1-1", "1.22.1-1"), *ROWS[1:])
    # versionlock keeps it at a version that it no longer has
    assert host.drift() == ["package nginx: version 1:1.22.1-1.el9 instead of 1:1.20.1-1.el9"]


def test_removed(host, rpm):
    rpm(*ROWS[1:])
    assert host.drift() == ["package nginx: is not installed"]


def test_no_longer_held_or_held_at_another_version(host, rpm):
    rpm.lock("nginx-1:1.20.1-1.el9.*")
    assert host.drift() == ["package a: is no longer held"]
    rpm.lock("nginx-1:1.20.0-1.el9.*", "a-2-1.noarch")
    assert host.drift() == ["package nginx: is no longer held"]


def test_rpm_that_does_not_answer_is_no_reason_to_call_the_host_right(host, rpm):
    host.program("rpm", "echo broken >&2; exit 1\n")
    assert host.drift() == ["packages: cannot be compared: RuntimeError: rpm ended with status 1"]


def test_an_interrupted_dnf(host, rpm):
    connection = sqlite3.connect(host.root / "history.sqlite")
    connection.executescript("""
        CREATE TABLE trans (id INTEGER, dt_end INTEGER); CREATE TABLE trans_item (trans_id INTEGER, item_id INTEGER);
        CREATE TABLE rpm (item_id INTEGER, name TEXT, epoch INTEGER, version TEXT, release TEXT);
        INSERT INTO trans VALUES (1, 0); INSERT INTO trans_item VALUES (1, 7);
        INSERT INTO rpm VALUES (7, 'nginx', 1, '1.20.1', '1.el9');
    """)
    connection.commit()
    assert host.drift() == ["packages: dnf is at work, or was interrupted"]
    connection.execute("UPDATE trans SET dt_end = 1")
    connection.commit()
    assert host.drift() == []


def test_debian_with_dnf_beside_it_is_debian_still(host, rpm):
    (host.root / "apt-get").touch()
    assert "package nginx: is not installed" in host.drift()
