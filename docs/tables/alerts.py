"""The page of the alerts: what each means, why it comes, and what to do, from the rules themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
HEAD = """\
# Alerts

What Prometheus tells, by mail or webhook, and what to do then: [monitoring.md](../monitoring.md) says how it gets there. Each
alert carries its command in the annotation `command`, and its section here in `runbook`; INVENTORY stands for the path of yours.
The bounds are Deepgram's own where [the rules](../../roles/monitoring/templates/rules) name a page of theirs; four are
variables: `monitoring_stream_mean_ms`, `monitoring_file_factor`, `monitoring_speech_ms`, `monitoring_saturation_percent`.

A figure that is missing is never taken for a good one: an Engine has no latency before its first stream, and no alert about it
either; a server, an Engine or an exporter that stops telling has an alert of its own (ServerSilent, EngineSilent, TargetSilent,
FiguresSilent).
"""
SEVERITIES = {"critical": "now", "warning": "today", "info": "this month"}


def page() -> str:
    """A table of all alerts, then a section each."""
    from dgctl.export import rules

    texts = rules.rendered(PROJECT, rules.usual(PROJECT))
    alerts = rules.alerts(texts)
    rows = "".join(
        f"| [{one['alert']}](#{one['alert'].lower()}) | {_urgency(one)} | {_summary(one)} |\n" for one in alerts
    )
    return f"{HEAD}\n| alert | act | it says |\n|---|---|---|\n{rows}" + "".join(map(_section, alerts))


def _urgency(alert: dict[str, Any]) -> str:
    return SEVERITIES[alert["labels"]["severity"]]


def _summary(alert: dict[str, Any]) -> str:
    """Its sentence, with words for what Prometheus fills in."""
    text = alert["annotations"]["summary"]
    for name, word in (
        ("$labels.", ""),
        ("$value | humanizeDuration", "SECONDS"),
        ("$value | humanizePercentage", "SHARE"),
    ):
        text = text.replace(name, word)
    text = text.replace("$value | humanize", "NUMBER").replace("$value", "NUMBER")
    return text.replace("{{ ", "").replace(" }}", "").replace("|", "\\|")


def _section(alert: dict[str, Any]) -> str:
    notes, command = alert["annotations"], alert["annotations"]["command"]
    for name in ("instance", "member"):
        command = command.replace(f"{{{{ $labels.{name} }}}}", "SERVER")
    after = f", for {alert['for']}" if "for" in alert else ""
    return (
        f"\n## {alert['alert']}\n\n{notes['why']}\n\n{notes['fix']}\n\n```console\n$ {command}\n```\n\n"
        f"Act {_urgency(alert)}. The condition{after}:\n\n```promql\n{alert['expr'].strip()}\n```\n"
    )
