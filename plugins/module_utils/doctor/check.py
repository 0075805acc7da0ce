"""What a check of the doctor is, and what one comes to.

A probe is a function of a doctor.host.Host that returns `healthy`, `unhealthy` or `unknown`, and changes nothing.
"""

import collections

from ansible.module_utils.host.outcome import finding

# name: of the finding; about, cause, fix: in general, for docs/reference/doctor.md and where the probe says nothing nearer;
# verify: checks of `dgctl verify` that see the same; gpu: only for a host with an Engine; repair: provision puts it right;
# stands_on: checks whose failure explains this one's (see causes.py); None is declared by nobody.
Check = collections.namedtuple("Check", "name probe about expected cause fix repair verify gpu stands_on")
Check.__new__.__defaults__ = (False, (), True, None)

Result = collections.namedtuple("Result", "ok seen cause fix expected stands_on paths")
Result.__new__.__defaults__ = (None, ())


def healthy(seen, expected=""):
    return Result(True, seen, "", "", expected)


def unhealthy(seen, cause="", fix="", expected="", stands_on=None, paths=()):
    """Something is wrong. What is not said is taken from the check's line in its table.

    stands_on: what alone could explain it, where the probe knows more than the table; () is a cause of its own. paths: the
    files that it is about, where others stand on some of them.
    """
    return Result(False, seen, cause, fix, expected, stands_on, tuple(paths))


def unknown(why, fix=""):
    """The check could not or need not be made. With a fix it is reported, though the host is healthy."""
    return Result(None, why, "", fix, "")


def together(results):
    """One result of those of several containers: (component, result). What is wrong stands alone, by name."""
    if len(results) == 1:
        return results[0][1]
    wrong = [(name, one) for name, one in results if one.ok is False]
    chosen = wrong or sorted(results, key=lambda result: result[1].ok is None)
    return chosen[0][1]._replace(
        seen="; ".join(f"{name}: {one.seen}" for name, one in chosen),
        cause=alike([(name, one.cause) for name, one in chosen]),
        fix=alike([(name, one.fix) for name, one in chosen]),
    )


def alike(reported):
    """What is said of several, once where it is the same of each; else by name."""
    reported = [(name, words) for name, words in reported if words]
    if len({words for _, words in reported}) < 2:
        return reported[0][1] if reported else ""
    return "; ".join(f"{name}: {words}" for name, words in reported)


def judge(check, host):
    """The finding of one check, with what it stands on if it fails. A probe that raises says nothing of the host."""
    try:
        result = check.probe(host)
    except Exception as error:
        result = unknown(f"cannot be inspected: {type(error).__name__}: {error}")
    found = finding(check.name, result.ok, one_line(result.seen), result.expected or check.expected, result.fix)
    if result.ok is False:
        found["fix"] = result.fix or check.fix
        found["cause"] = result.cause or check.cause
        found["paths"] = list(result.paths)
        found["stands_on"] = check.stands_on if result.stands_on is None else result.stands_on
    return found


def one_line(text, limit=400):
    """A text as a table shows it."""
    text = " ".join(str(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listed(things, most=4):
    """Things on one line; of many the first."""
    things = [str(thing) for thing in things]
    rest = len(things) - most
    return ", ".join(things if rest <= 0 else [*things[:most], f"{rest} more"])
