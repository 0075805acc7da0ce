"""NVIDIA's Data Center GPU Manager: its own diagnosis of the GPUs, as findings. Reads only, and takes its time."""

import json

from ansible.module_utils.outcome import finding, last_line, run

CHECK = "dcgm diagnosis"
EXPECTED = "dcgmi diag -r {} without a failure"
MISSING = "set nvidia_driver_dcgm to true and provision; or leave the diagnosis out."
# What each level does: 1 looks (seconds), 2 and more put load on the GPUs, which must be idle then.
LIMIT_S = {1: 180, 2: 900, 3: 3600, 4: 10800}


def diagnose(level=1):
    """One finding for the diagnosis of a level, with what failed on which GPU; skipped where there is no DCGM."""
    rc, out, err = run(["dcgmi", "diag", "-r", str(level), "-j"], LIMIT_S[level])
    expected = EXPECTED.format(level)
    if rc == 127:
        return finding(CHECK, None, "DCGM is not installed", expected, MISSING)
    tests = list(results(out))
    if not tests:
        said = last_line(err) or last_line(out) or f"dcgmi ended with status {rc}"
        return finding(
            CHECK, False, said, expected, "systemctl status nvidia-dcgm; nvidia-smi; dmesg | grep -E 'NVRM|Xid'"
        )
    bad = [f"{name} {entity}: {status}" for name, entity, status in tests if status.lower() not in ("pass", "skip")]
    fix = f"dcgmi diag -r {max(level, 2)} -v says more of what failed; a GPU that fails again is for its vendor."
    return finding(CHECK, not bad, "; ".join(bad) or f"{len(tests)} results, none failed", expected, fix)


def results(text):
    """(test, "GPU 0", status) of each result in DCGM 4's JSON."""
    try:
        categories = json.loads(text)["DCGM Diagnostic"]["test_categories"]
    except (ValueError, KeyError, TypeError):
        return
    for category in categories:
        for test in category.get("tests", []):
            for one in test.get("results", []):
                entity = "{} {}".format(one.get("entity_group", "GPU"), one.get("entity_id", "")).strip()
                yield test["name"], entity, one.get("status", "unknown")
