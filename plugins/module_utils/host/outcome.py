"""What modules tell: findings of checks, and errors that say what to do.

A finding is a dict {check, verdict, seen, expected, fix}; verdict is "pass", "fail" or "skip".
An error's text is "WHAT. Fix: WHAT TO DO" on one line.
"""

import os
import subprocess


def finding(check, ok, seen, expected, fix=""):
    """A finding; ok True, False, or None for a check that could not or need not be made."""
    verdict = {True: "pass", False: "fail", None: "skip"}[ok]
    return {
        "check": check,
        "verdict": verdict,
        "seen": str(seen),
        "expected": str(expected),
        "fix": "" if ok else fix,
    }


def fail(module, what, fix, value=None, **more):
    """Ends the module with an error in the one form that readers and programs split at ' Fix: '."""
    what = " ".join(str(what).split()).rstrip(".")
    fix = " ".join(str(fix).split())
    module.fail_json(msg=f"{what}. Fix: {fix}", fix=fix, value=value, **more)


def run(argv, timeout=60, env=None):
    """(exit status, stdout, stderr) of a command; 127 when there is no such program, 124 when it hangs."""
    env = env or dict(os.environ, LC_ALL="C")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: no answer in {timeout} s"
    return done.returncode, done.stdout, done.stderr


def last_line(text):
    """The last line that says something, for a message of one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
