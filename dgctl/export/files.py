"""The files of an export: what a site with a Prometheus and a Grafana of its own takes along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dgctl import content
from dgctl.deployment.deployment import Deployment
from dgctl.export import dashboards, rules

MARK = "scrape.yml"
HEAD = "# Written by `dgctl export monitoring`: changes made here are lost with the next one.\n"
README = """\
# Monitoring of this deployment, to take along

Written by `dgctl export monitoring`. Copy it to where your Prometheus and your Grafana read it.

- `scrape.yml`: scrape jobs, for `scrape_config_files` (Prometheus 2.43 and newer) or below `scrape_configs`. Each server has
  one exporter, which hands on the Engine's metrics and the node exporter's; it answers those in `host_metrics_allow` alone.
- `rules/`: for `rule_files`. Each alert has the annotations summary, why, fix, command and runbook.
- `dashboards/`: for Grafana 12 and newer, by import or a provider of the type `file`. They ask the data source that is
  chosen above them.

Check it before you load it: `promtool check rules rules/*.yml`.
"""


def made(deployment: Deployment) -> dict[str, str]:
    """Path below the folder -> text of every file."""
    host = next(iter(deployment.hosts.values()))
    found = {"README.md": README, MARK: HEAD + _yaml({"scrape_configs": scrape_jobs(host.vars["monitoring_jobs"])})}
    found |= {f"rules/{name}": text for name, text in rules.rendered(content.root(), _Known(host.vars)).items()}
    for name, document in dashboards.documents().items():
        found[f"dashboards/{name}.json"] = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    return found


def scrape_jobs(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Jobs of the filter scrape_jobs as Prometheus writes them."""
    return [
        {
            "job_name": job["job"],
            "metrics_path": job["path"],
            "static_configs": [
                {"targets": [target["address"]], "labels": dict(target["labels"])} for target in job["targets"]
            ],
        }
        for job in jobs
    ]


def written(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Writes them; returns those that are new or were otherwise. What else lies there stays."""
    changed = []
    for name, text in files.items():
        path = folder / name
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        changed.append(name)
    return changed


def is_ours(folder: Path, mark: str = MARK, head: str = HEAD) -> bool:
    """Whether an export may be written there: nothing is there, or an older export, whose file `mark` begins with `head`."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    path = folder / mark
    return not any(folder.iterdir()) or (path.is_file() and path.read_bytes().startswith(head.encode()))


class _Known(dict[str, Any]):
    """The role's variables of a host, as plain values."""

    def __init__(self, variables: Mapping[str, Any]):
        names = content.read(content.root() / "roles/monitoring/defaults/main.yml")
        super().__init__({name: variables[name] for name in names if name in variables})


def _yaml(value: Any) -> str:
    return yaml.safe_dump(json.loads(json.dumps(value)), sort_keys=False, allow_unicode=True)
