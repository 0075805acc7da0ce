"""Which test runs which line: a plugin of pytest, and (as sitecustomize) of every Python that a test starts.

coverage.py keeps a context a test, one data file a process in $MUTATION_TRACE; the files of $MUTATION_ROOT count.
"""

import atexit
import os
import sys
from collections import defaultdict

ROOT, FOLDER, SITE = (os.environ.get(f"MUTATION_{name}") for name in ("ROOT", "TRACE", "SITE"))
durations = defaultdict(float)
passed = set()


def start():
    """None where nothing is traced: without $MUTATION_SITE, or in a Python for which coverage.py is not made."""
    if not SITE:
        return None
    sys.path.append(SITE)  # what a test starts may have a PYTHONPATH of its own
    try:
        import coverage
    except ImportError:
        return None
    sources = [f"{ROOT}/{name}/*" for name in ("dgctl", "plugins", "roles")]
    data = os.path.join(FOLDER, f"coverage-{os.getpid()}-{os.urandom(4).hex()}")
    # In another file than the checkout's own, which `coverage run` of a developer may write.
    found = coverage.Coverage(data_file=data, include=sources, config_file=False, messages=False)
    found.start()
    found.switch_context(os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0])
    atexit.register(end, found)
    return found


def end(found):
    found.stop()
    found.save()


measured = start() if FOLDER else None


def pytest_runtest_logstart(nodeid, location):
    if measured:
        measured.switch_context(nodeid)


def pytest_runtest_logreport(report):
    """What a test needs before and after itself takes time too; one that fails without a mutation cannot judge one."""
    durations[report.nodeid] += report.duration
    if report.when == "call" and report.passed:
        passed.add(report.nodeid)


def pytest_sessionfinish(session):
    import json

    with open(os.path.join(FOLDER, f"durations-{os.getpid()}.json"), "w") as file:
        json.dump({name: seconds for name, seconds in durations.items() if name in passed}, file)
