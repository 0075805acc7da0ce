"""The page of the doctor: what each check inspects, why it fails, and how to fix it."""

from __future__ import annotations

INTRO = """\
# Doctor: why a server is unhealthy, and how to fix it

```
dgctl doctor inventory.ini                # every server; exit code 0 healthy, 8 when one is unhealthy, 7 when some do not answer
dgctl doctor inventory.ini --limit gpu1   # one
dgctl doctor inventory.ini --deep         # and has NVIDIA's DCGM test the GPUs
dgctl doctor inventory.ini --json         # `checks`: host, check, verdict, seen, expected, fix; cause, follows
ansible-playbook -i inventory.ini playbooks/doctor.yml
```

It goes from the name servers, port, certificate and NGINX over upstreams, API, licence, Engine and models down to the
container's GPU, CDI, driver and PCI bus. It only reads, and makes every check at once, in one visit to each server: programs
run side by side, each with a time limit, and one that hangs is a finding and holds nobody up. A healthy server takes some
seconds and one line; an unhealthy one a paragraph, with what is seen, what was expected, the cause as far as it shows, and the
command that fixes it.

- What was there before, it knows from the record that `provision` leaves on the server: how many GPUs, which packages and
  versions ([plan.md](../plan.md)). Where there is no record, or none to be believed, that is not asked.
- What cannot be judged is `skip`, with the reason, and is no failure. A driver branch past its support and a reboot that
  packages ask for are reported the same way.
- One fault has one cause and one command. Each check stands on others, from the PCI bus up to the port that callers come to
  (last column). One that fails because another fails is folded under it: `follows from it`, in JSON `follows`. Where something
  in between passes they are two faults, and both are reported. `dgctl verify` folds its checks in the same way.
- Where one fault explains another for certain, the other says `see ...` and is not judged.
- `dgctl verify` makes the same checks, as `health.NAME`, where it has none of its own that sees the same.
- Fixes that begin with `dgctl provision` are safe to give: it plans, asks, drains and verifies. What can lose data or needs
  hands at the machine stays with you.
- Files, units, images and models are compared with what the roles recorded, so that an edit by hand is named with its file.
- `--deep` also compares the checksum of every model with that of its download, which takes as long as the disk needs to read
  them (ten minutes at most), and runs DCGM's own diagnosis at its quickest level (`dcgmi diag -r 1`), where
  `nvidia_driver_dcgm` has brought DCGM: each test that a GPU does not pass is a finding, with DCGM's words, and the fix by
  DCGM's severity. It inspects libraries, device files, memory health, the GPU's own records and the fabric, puts no load on
  the GPUs, changes nothing, and takes seconds, at most two minutes. What works on a GPU meanwhile, as calls that are being
  served, may disturb it: drain the server first for a verdict to count on. Where DCGM is not installed, or another diagnosis
  or a program that draws has the GPUs, it is `skip`, with that reason. With plain Ansible: `-e doctor_deep=true`.
- Packages of rpm are inspected as those of dpkg. Which repository each came from is in dnf's history, and what dnf would take
  in its cache, past which nothing is asked; what lies in no cache, or was installed with rpm itself, is not judged. A repository
  that offers another driver, of which nothing is here and nothing would come, is reported, and is no failure.

A finding names the files, packages and GPUs of its server; here it is said in general.
"""
NOTES = """
¹ also on servers without an Engine; the others are about GPUs, and asked where an Engine is to run.
² `provision` puts it right.
³ with `--deep` alone; each test that fails is a finding of its own, `dcgm: NAME`.
"""


def page() -> str:
    """The page, its table from the doctor's own."""
    from dgctl import content

    doctor = content.utility("doctor.doctor")

    rows = ["\n| check | inspects | cause | fix | stands on |\n|---|---|---|---|---|\n"]
    for check in (*doctor.CHECKS, *doctor.DEEP):
        name = f"`{check.name}`" + ("" if check.gpu else " ¹") + (" ³" if check in doctor.DEEP else "")
        fix = check.fix + (" ²" if check.repair else "")
        cells = (name, check.about, check.cause, fix, ", ".join(map(ground, check.stands_on)) or "-")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return INTRO + "".join(rows) + NOTES


def ground(name: str) -> str:
    """`files:/etc/nginx/` is the check `files`, of what is in that directory."""
    check, _, place = name.partition(":")
    return f"{check} ({place})" if place else check
