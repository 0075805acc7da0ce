"""NVIDIA's Data Center GPU Manager: its own quick diagnosis of the GPUs, as dcgmi tells it in JSON. Reads only.

The JSON is that of DCGM 4 (dcgmi/Diag.cpp of 4.6); what another form lacks is taken as not said.
"""

import collections
import json

from ansible.module_utils.host.outcome import last_line, run

LIMIT_S = 120  # NVIDIA calls the first level one of seconds; eight GPUs and a slow driver take longer
PATIENCE_S = 15  # for dcgmi to have its engine end the diagnosis
# Asked to end rather than killed: dcgmi then has the host engine stop too.
COMMAND = ("timeout", f"--kill-after={PATIENCE_S}", str(LIMIT_S), "dcgmi", "diag", "-r", "1", "-j")
NOT_INSTALLED, LATE = 127, (124, 137)
WELL = ("pass", "skip", "not run")

Answer = collections.namedtuple("Answer", "status reported results faults")
Answer.__doc__ = (
    "How dcgmi ended, what it said if that was no diagnosis, how many results there are, and what is wrong."
)
Fault = collections.namedtuple("Fault", "test gpu text code category severity")
Fault.__doc__ = "A test that a GPU (its number, or None for the whole host) does not pass, and DCGM's numbers for that."


def diagnose():
    """DCGM's answer to its quickest level of tests."""
    status, out, err = run(list(COMMAND), LIMIT_S + 2 * PATIENCE_S)
    document = part(out)
    found = tests(document)
    if status in LATE:
        reported = f"no answer in {LIMIT_S} s"
    elif found:
        reported = ""
    else:
        reported = (
            document.get("runtime_error") or last_line(err) or last_line(out) or f"dcgmi ended with status {status}"
        )
    return Answer(
        status, " ".join(str(reported).split()), sum(len(rows(one, "results")) for one in found), faults(found)
    )


def part(text):
    """What dcgmi says of the diagnosis; {} where that is none."""
    try:
        document = json.loads(text)["DCGM Diagnostic"]
    except (ValueError, KeyError, TypeError):
        return {}
    return document if isinstance(document, dict) else {}


def tests(document):
    return [test for category in rows(document, "test_categories") for test in rows(category, "tests")]


def rows(thing, name):
    """The objects of a list in the JSON; none where it has no such list."""
    found = thing.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def faults(found):
    """Everything that is not as it should be: of each GPU, then what DCGM lays at no GPU's door."""
    seen = []
    for test in found:
        name, summary = str(test.get("name", "test")), test.get("test_summary")
        own = [fault for result in rows(test, "results") for fault in of_result(name, result, result.get("entity_id"))]
        rest = of_result(name, summary, None) if isinstance(summary, dict) else []
        document = {fault.text for fault in own}
        seen += own + [fault for fault in rest if fault.text not in document and (fault.code is not None or not own)]
    return seen


def of_result(name, result, gpu):
    """The faults of one result; a bad one without a word is a fault too."""
    status = str(result.get("status", "unknown"))
    if status.lower() in WELL:
        return []
    found = []
    for one in rows(result, "warnings"):
        test, text = named(name, " ".join(str(one.get("warning", status)).split()))
        found.append(Fault(test, gpu, text, one.get("error_id"), one.get("error_category"), one.get("error_severity")))
    return found or [Fault(name, gpu, status, None, None, None)]


def named(test, text):
    """(test, text): those of the first level are parts of one test, each named before what is wrong."""
    part_of_it, colon, rest = text.partition(": ")
    return (part_of_it, rest) if test == "software" and colon else (test, text)
