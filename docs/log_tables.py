"""The page of log lines: what lines of the Deepgram programs mean, and what to do."""

from __future__ import annotations

from tables import table

INTRO = """\
# Log lines: what they mean, and what to do

`provision` (when a start fails), `verify` and `doctor` read the programs' logs by this table, in each format of
`deepgram_log_format` (full, compact, pretty, json). The first row that fits counts. By hand:
`docker logs deepgram-engine` or `journalctl -u deepgram-engine`.

Of the Engine's models each refused file is named with its row's remedy: `provision` fails on it until the file is replaced or
removed. Where the format leaves the file's name out, as json and compact may, the line is told all the same.

"""
NOTES = """
Patterns are Python's, without regard to case. Sources: `parser` is `diagnostics/dg_log_parser.sh` of
github.com/deepgram/self-hosted-resources; `flux`, `formats` and `fips` are pages of Deepgram's documentation; a number is an
issue there; what is `inferred` no published log shows.
"""


def page() -> str:
    from dgctl import content

    signatures = content.module(content.root(), "deepgram.signatures")
    rows = [
        [
            cell(f"`` {one.pattern} ``" if "`" in one.pattern else f"`{one.pattern}`"),
            *map(cell, (one.meaning, one.remediation, f"{one.source}, {one.read}")),
        ]
        for one in (*signatures.TABLE, signatures.FIPS)
    ]
    return INTRO + table(["pattern", "meaning", "remediation", "source"], rows) + NOTES


def cell(text: str) -> str:
    return text.replace("|", "\\|")
