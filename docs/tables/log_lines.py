"""The page of log lines: what lines of the Deepgram programs mean, and what to do."""

from __future__ import annotations

from docs.tables.markdown import table

INTRO = """\
# Log lines: what they mean, and what to do

`provision` (when a start fails), `verify`, `doctor` and `logs` read the programs' logs by this table, in each format of
`deepgram_log_format` (full, compact, pretty, json). The first row that fits counts. By hand:
`docker logs deepgram-engine` or `journalctl -u deepgram-engine`.

```
dgctl logs inventory.ini --since 2h              # every server, one stream by time (UTC); 1h where nothing is said
dgctl logs inventory.ini gpu1 --explain          # one, with what known lines mean and what to do
dgctl logs inventory.ini --explain --follow      # goes on until Ctrl-C; with --json a document a line
```

`logs` reads the containers' logs (of Docker, or of Podman from the journal), NGINX's error logs, what the kernel says of
GPUs, memory and disks, and systemd's words about our units, of each the last 5,000 lines. What spans lines is one. Keys of
the server and of the deployment, tokens, and passwords in addresses are masked before a line leaves the server; what a
terminal would obey is written out. Nothing is changed, and nothing is left on the server.

Of the Engine's models each refused file is named with its row's remedy: `provision` fails on it until the file is replaced or
removed. Where the format leaves the file's name out, as json and compact may, the line is told all the same.

"""
OTHERS = """
## NGINX and the kernel

What `logs --explain` knows beside them.

"""
NOTES = """
Patterns are Python's, without regard to case. Sources: `parser` is `diagnostics/dg_log_parser.sh` of
github.com/deepgram/self-hosted-resources; `flux`, `formats` and `fips` are pages of Deepgram's documentation; a number is an
issue there; what is `inferred` no published log shows. `nginx` is NGINX's own source, `linux` the kernel's, `nvidia` NVIDIA's
list of Xids (docs.nvidia.com/deploy/xid-errors).
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
    others = content.utility("logs.signatures")
    more = [
        [f"`{one.pattern}`", *map(cell, (one.meaning, one.remediation, one.source))]
        for one in (*others.NGINX, *others.KERNEL)
    ]
    more += [[f"`Xid {number}`", cell(meaning), cell(fix), "nvidia"] for number, (meaning, fix) in others.XIDS.items()]
    head = ["pattern", "meaning", "remediation", "source"]
    return INTRO + table(head, rows) + OTHERS + table(head, [[cell(row[0]), *row[1:]] for row in more]) + NOTES


def cell(text: str) -> str:
    return text.replace("|", "\\|")
