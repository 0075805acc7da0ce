"""Writes facts.yml: `python tests/official/extract.py CLONE COMMIT > facts.yml`, from a clone of deepgram/self-hosted-resources.

Of each TOML file its keys with what they are set to, and those that it only offers in comments; of each compose file what it
gives a service; of the chart's templates the keys. Facts alone, no text of theirs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import Any

import yaml

TOMLS = re.compile(r"common/\w+/[\w.-]+\.toml$")
COMPOSES = re.compile(r"(docker|podman)/[\w-]+-compose\.(standard|license-proxy|aura-2|aura-2-polyglot|flux-tts)\.yml$")
CHART = re.compile(r"charts/deepgram-self-hosted/templates/(api|engine|license-proxy)/\1\.config\.yaml$")
SERVICE = ("image", "restart", "ports", "environment", "volumes", "command", "runtime", "devices", "depends_on")


def flat(document: dict[str, Any], before: str = "") -> dict[str, Any]:
    """{"driver_pool.standard[0].url": ...}: every value by its dotted key; empty tables are none."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                found |= flat(item, f"{name}[{number}].")
        else:
            found[name] = value
    return found


def offered(text: str) -> dict[str, Any]:
    """Keys that a comment shows (`# max_ttl = 10`), with the example, None for none."""
    table, found = "", {}
    for line in text.splitlines():
        if head := re.match(r"\s*\[+([\w.]+)\]+", line):
            table = head[1] + "."
        elif shown := re.match(r"\s*# (\w+) =\s*([^#]*)", line):
            example = shown[2].strip()
            found[table + shown[1]] = tomllib.loads(f"x = {example}")["x"] if example else None
    return found


def keys(text: str) -> list[str]:
    """Dotted keys of a chart's template."""
    table, found = "", []
    for line in re.sub(r"\{\{.*?\}\}", "*", text).splitlines():
        if head := re.match(r"\s*\[(\[?)([\w.*]+)\]+\s*$", line):
            table = head[2] + ("[]." if head[1] else ".")
        elif line.strip() == "data:":
            table = ""
        elif key := re.match(r"\s+(\w+) = ", line):
            found.append(table + key[1])
    return list(dict.fromkeys(found))


def defaults(text: str, values: dict[str, Any]) -> dict[str, Any]:
    """Dotted key of a chart's template -> what the chart's values.yaml has for it; keys that it makes otherwise are left out."""
    table, found = "", {}
    for line in text.splitlines():
        if head := re.match(r"\s*\[(\[?)([\w.]+)\]+\s*$", line):
            table = head[2] + ("[]." if head[1] else ".")
        elif reported := re.match(
            r"\s+(\w+) = \"?\{\{ (int )?\$?\.Values\.([\w.]+)(?: \| default \w+)? \}\}\"?$", line
        ):
            value: Any = values
            for step in reported[3].split("."):
                value = value.get(step) if isinstance(value, dict) else None
            found[table + reported[1]] = int(value) if reported[2] else value
    return found


def main() -> None:
    clone, commit = sys.argv[1:]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True, text=True).stdout

    paths = git("ls-tree", "-r", "--name-only", commit).splitlines()
    facts: dict[str, Any] = {
        "source": "github: deepgram/self-hosted-resources",
        "commit": git("rev-parse", commit).strip(),
    }
    text = {
        path: git("show", f"{commit}:{path}") for path in paths if any(p.search(path) for p in (TOMLS, COMPOSES, CHART))
    }
    facts["toml"] = {
        path: {"set": flat(tomllib.loads(reported)), "offered": offered(reported)}
        for path, reported in text.items()
        if TOMLS.search(path)
    }
    facts["compose"] = {
        path: {
            name: {item: service[item] for item in SERVICE if item in service}
            for name, service in yaml.safe_load(reported)["services"].items()
        }
        for path, reported in text.items()
        if COMPOSES.search(path)
    }
    facts["chart"] = {CHART.search(path)[1]: keys(reported) for path, reported in text.items() if CHART.search(path)}
    values = yaml.safe_load(git("show", f"{commit}:charts/deepgram-self-hosted/values.yaml"))
    facts["chart_defaults"] = {
        CHART.search(path)[1]: defaults(reported, values) for path, reported in text.items() if CHART.search(path)
    }
    print(yaml.safe_dump(facts, sort_keys=False, width=125, default_flow_style=None), end="")


if __name__ == "__main__":
    main()
