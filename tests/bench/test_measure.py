"""A measured command: its whole family is counted, what it leaves behind too."""

import os
import sys
import time

import pytest

from bench import tree
from bench.measure import BenchError, run

BURN = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_cpu_of_children_counts():
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN.format(0.4)!r}])"
    cost = run([sys.executable, "-c", script])
    assert 0.4 <= cost.cpu_s < 2
    assert cost.wall_s >= 0.4


def test_cpu_and_memory_of_a_daemon_count_and_it_is_known(tmp_path):
    """As the master of a kept SSH connection: it outlives the command and belongs to nobody."""
    left = tmp_path / "pid"
    daemon = f"import os, time\nhold = bytearray(60_000_000)\n{BURN.format(0.3)}\n"
    daemon += f"open({str(left)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    script = f"import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=True)\n"
    script += f"while not os.path.exists({str(left)!r}): time.sleep(0.05)\ntime.sleep(0.5)"
    cost = run([sys.executable, "-c", script])
    pid = int(left.read_text())
    try:
        assert pid in tree.descendants()
        assert cost.cpu_s >= 0.3
        assert cost.peak_mb > 60
    finally:
        os.kill(pid, 9)
        time.sleep(0.1)
        tree.reap()
    assert pid not in tree.descendants()


def test_a_child_that_is_about_to_become_its_program_is_not_its_parent_once_more(tmp_path):
    """It has its parent's memory, all of it, until exec(): here for as long as nobody writes to the pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = (
        "import os, subprocess\nhold = bytearray(b'x') * 80_000_000\n"
        f"subprocess.Popen(['sh', '-c', 'sleep 1; echo > {pipe}'])\n"
        f"wait = [(os.POSIX_SPAWN_OPEN, 9, {str(pipe)!r}, os.O_RDONLY, 0)]\n"
        "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}, file_actions=wait), 0)"
    )
    assert 80 < run([sys.executable, "-c", script]).peak_mb < 120


def test_a_failed_command_is_no_measurement():
    with pytest.raises(BenchError, match=r"ended with 3:\nno such thing"):
        run([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"])
    assert run([sys.executable, "-c", "raise SystemExit(10)"], allowed=(0, 10)).exit_code == 10


def test_lines_of_stderr_know_when_they_came():
    script = (
        "import sys, time\nprint('one', file=sys.stderr, flush=True)\ntime.sleep(0.4)\nprint('two', file=sys.stderr)"
    )
    (first, one), (second, two) = run([sys.executable, "-c", script]).lines
    assert (one, two) == ("one\n", "two\n")
    assert second - first >= 0.35
