"""What apt says when it fails, in one line, and what to do about it."""

import re

from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.packages.apt import dpkg

# apt changed nothing, and says why not in words that a rehearsal makes better.
REFUSED = re.compile(
    r"remove is disabled|Unable to locate|no installation candidate|was not found|[Uu]nmet dependencies|held broken"
    r"|Failure running script"
)
# The repository has moved on since its lists were fetched.
STALE = re.compile(r"404  Not Found|unexpected size|Hash Sum mismatch")
# What apt says, and what to do about it; the first that matches counts.
ADVICE = (
    (
        r"(Depends|depends on).*(glx-alternative-nvidia|update-glx|nvidia-support|nvidia-installer-cleanup)",
        "NVIDIA's packages for Debian need its contrib: add contrib to the Components (or the deb lines) of the host's "
        "own sources in /etc/apt, then run again.",
    ),
    (
        r"(Unable to locate package|no installation candidate|was not found).*(linux-modules-nvidia|-server)",
        "The archive's driver lies in restricted and multiverse: have both among the host's own sources in /etc/apt, and "
        "take a branch that Ubuntu has (apt-cache search linux-modules-nvidia).",
    ),
    (
        r"Conflicting values set for option Signed-By",
        (
            "An older entry names the same repository: remove it from /etc/apt/sources.list.d (grep -l "
            "nvidia /etc/apt/sources.list.d/*)."
        ),
    ),
    (
        r"(Unable to locate package|has no installation candidate|Version .* was not found)",
        (
            "Correct the package or its version, or the repository that should have it (apt-cache "
            "policy shows what there is)."
        ),
    ),
    (
        r"held broken packages|[Uu]nmet dependencies",
        "Another repository or a held package is in the way: apt-get -s install shows which; unhold or remove it.",
    ),
    (
        r"(Could not get lock|Unable to acquire|is another process using it)",
        "Another program is using apt: wait for it to end (ps aux | grep -E 'apt|dpkg'), then run again.",
    ),
    (
        r"(not signed|NO_PUBKEY|public key is not available|Missing key|invalid signature)",
        (
            "The repository is not signed by the key that was given for it: correct its _repository_url"
            " and its _repository_key variables."
        ),
    ),
    (
        STALE.pattern,
        "The repository's index does not fit its files, as while it is being updated: run again in some minutes.",
    ),
    (r"(No space left|You don't have enough free space)", "Free space in /var and /usr, then run again."),
    (
        r"(Failed to fetch|Unable to fetch|Could not resolve|Could not connect|Temporary failure)",
        "Look at this host's way to its package servers (apt-get update), then run again.",
    ),
    (
        r"Bad return status for module build|Error! .*[Dd][Kk][Mm][Ss]",
        (
            "The driver does not build for this kernel: see /var/lib/dkms/nvidia/*/build/make.log, "
            "choose a newer driver or another kernel."
        ),
    ),
)


def advice(text):
    """What to do about an error of apt."""
    return next(
        (fix for pattern, fix in ADVICE if re.search(pattern, text)),
        "Run again: what was begun is finished first. By hand on the host, apt says more.",
    )


def errors(rc, out, err):
    """The lines that apt marks as errors, on one line; else the last thing it said."""
    if rc < 0:
        return f"it was killed (signal {-rc})"
    lines = [line[3:].strip() for line in err.splitlines() if line.startswith("E: ")]
    return "; ".join(lines) or last_line(err) or last_line(out)


def offered(reported):
    """The sources' packages that differ from one that apt could not find in their number alone: " They offer: ..."."""
    missing = re.search(r"Unable to locate package (\S*?)([\d.]+)$", reported, re.MULTILINE)
    if not missing:
        return ""
    _, out, _ = run(["apt-cache", "pkgnames", missing[1]], timeout=60, env=dpkg.environment())
    names = [name for name in out.split() if re.fullmatch(re.escape(missing[1]) + r"[\d.]+", name)]
    return " The repositories offer: {}.".format(", ".join(sorted(names))) if names else ""
