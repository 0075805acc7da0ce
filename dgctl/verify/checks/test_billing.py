"""Billing, behind an air gap: it answers, its release is not at its end, and it writes its journal where the server keeps it."""

import shlex

import pytest
from testinfra.host import Host

from dgctl.verify import certificates
from dgctl.verify.ask import Answer, ask
from dgctl.verify.facts import ask_at

GROUPS = ("billing",)
# Its file begins with a line that says so (samples/airgapped.md of the official chart): an empty one was never written to.
WRITTEN = "find {} -maxdepth 1 -type f -size +0 -printf '%f %s\\n'"


@pytest.fixture(scope="module")
def billing(host: Host, desired) -> dict[str, Answer]:
    at = f"http://{ask_at(desired['billing_certificates_bind_address'])}:{desired['billing_certificates_port']}/v1"
    journal = WRITTEN.format(shlex.quote(desired["billing_journal_dir"]))
    return ask(host, {"certificates": f"fetch {at}/certificates", "journal": journal})


def test_end_of_life(billing, expect):
    certificates.expect_life(billing["certificates"], expect)


def test_journal(billing, runtime, desired, expect):
    """What Deepgram is paid by: without it the service may be suspended."""
    reported = billing["journal"]
    fix = f"{runtime.logs('billing')}; is there room, and may billing_owner write to {desired['billing_journal_dir']}?"
    expect(
        reported.lines or str(reported),
        f"a journal in {desired['billing_journal_dir']}",
        fix,
        ok=reported.ok and bool(reported.lines),
    )
