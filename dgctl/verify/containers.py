"""Asks Docker or Podman about the Deepgram containers, and speaks of both in the same words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from dgctl import content
from dgctl.verify.ask import Answer

SERVICES = ("api", "engine", "license-proxy", "billing")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_PLAIN = r"""sed "s/$(printf '\033')\[[0-9;]*[A-Za-z]//g" """
# Without repeat counts in braces, which Debian's awk does not know.
_EVENTS = r"""awk '
function show() { if (held ~ /%s/) print held }
/^[ \t]/ && !/^ *[0-9][0-9][0-9][0-9]-/ { held = held "\n" $0; next }
{ show(); held = $0 }
END { show() }'"""
# Only what is needed: the whole of `inspect` holds the API key (Config.Env).
_COMMON = (
    '"state":{{json .State}},"image":{{json .Image}},"policy":{{json .HostConfig.RestartPolicy}},'
    '"log":{{json .HostConfig.LogConfig}},"release":{{json (index .Config.Labels "deepgram.release")}}'
)
_INSPECT = {
    "docker": "{" + _COMMON + ',"restarts":{{json .RestartCount}}}',
    "podman": "{" + _COMMON + ',"restarts":{{json .RestartCount}},"digest":{{json .ImageDigest}}}',
}


@dataclass(frozen=True)
class Container:
    """One container: `digests` are the registry digests its image goes by, `restarts` counts since it was
    made.
    """

    running: bool
    restarting: bool
    status: str
    started: datetime | None
    restarts: int
    policy: str
    digests: set[str] = field(default_factory=set)
    log: dict[str, Any] = field(default_factory=dict)
    release: str = ""
    complaint: str = ""

    def __str__(self) -> str:
        """How it is; when it is not healthy, why: the engine's own error, or the last word of the log."""
        reported = [self.status]
        if self.started:
            reported.append(f"restarted {self.restarts} times, up {self.minutes_up:.0f} min")
        if not self.running or self.looping:
            reported.append(self.complaint)
        return ", ".join(filter(None, reported))

    @property
    def looping(self) -> bool:
        """Restarted often and up only briefly: it dies again and again."""
        return self.restarting or (self.restarts >= 3 and self.minutes_up < 10)

    @property
    def log_text(self) -> str:
        """The log driver and its options, as `json-file, max-file 5, max-size 100m`."""
        options = [f"{name} {value}" for name, value in sorted((self.log.get("Config") or {}).items())]
        return ", ".join([str(self.log.get("Type") or "none"), *options])

    @property
    def log_capped(self) -> bool:
        """True when its log cannot fill the disk: a size limit, or a driver that has one of its own."""
        options, size = self.log.get("Config") or {}, str(self.log.get("Size") or "")
        limited = options.get("max-size") or size.strip("0B ")
        return self.log.get("Type") in ("local", "journald", "none", "passthrough") or bool(limited)

    @property
    def minutes_up(self) -> float:
        return (datetime.now(UTC) - self.started).total_seconds() / 60 if self.started else 0.0


def components() -> ModuleType:
    """What runs in a container, and where its files are: plugins/module_utils/deepgram/components.py."""
    return content.module(content.root(), "deepgram.components")


def folder(name: str) -> str:
    """Where the files of a service lie on the host: its compose project, its key, the record of its image."""
    return str(components().folder(name))


# Nothing runs under that name.
ABSENT = Container(False, False, "no such container", None, 0, "no")


@dataclass(frozen=True)
class Runtime:
    """The container engine of a host, `docker` or `podman`: how it is asked, and how a person operates it.

    `names`: part -> the component whose container it is, where that is not the part itself.
    """

    cli: str
    names: Mapping[str, str] = field(default_factory=dict)

    def of(self, part: str) -> str:
        """The component that is asked about as this part."""
        return self.names.get(part, part)

    def file(self, part: str) -> str:
        """The configuration that its container reads."""
        return f"{folder(part)}/{self.of(part)}/{part}.toml"

    def boot_units(self, parts: list[str]) -> list[str]:
        """The systemd units that start these containers when the host boots."""
        if self.cli == "podman":
            return [f"deepgram-{self.of(name)}.service" for name in parts]
        alone = components().ALONE
        return sorted({f"deepgram-{name}.service" if name in alone else "deepgram.service" for name in parts})

    def inspect(self, name: str, template: str) -> str:
        return f"{self.cli} inspect --type container --format '{template}' deepgram-{self.of(name)}"

    def execute(self, name: str, command: str) -> str:
        return f"{self.cli} exec deepgram-{self.of(name)} {command}"

    def logs(self, name: str) -> str:
        if self.cli == "podman":
            return f"journalctl -u deepgram-{self.of(name)}.service -n 100"
        return f"docker logs --tail 100 deepgram-{self.of(name)}"

    def recreate(self, name: str) -> str:
        if self.cli == "podman":
            return f"systemctl restart deepgram-{self.of(name)}.service"
        return f"docker compose -f {folder(name)}/compose.yaml up -d --force-recreate {self.of(name)}"

    def logged(self, name: str, pattern: str) -> str:
        """A command that prints the log's events like `pattern` (an ERE) since the container's last start, without colours.

        An event of the format pretty goes on in lines that are indented; only its first line starts with a time.
        """
        # As JSON both engines print a time that their own --since reads, with its zone.
        since = f"$({self.inspect(name, '{{json .State.StartedAt}}')} | tr -d '\"')"
        return f"{self.cli} logs --since {since} deepgram-{self.of(name)} 2>&1 | {_PLAIN} | {_EVENTS % pattern} | head -n 400"

    def last_words(self, name: str) -> str:
        """The end of the log. Quadlet removes a container that ends; the journal keeps its words, and Podman's."""
        if self.cli == "podman":
            unit = f"deepgram-{self.of(name)}.service"
            reported = f"journalctl -q -o cat -n 20 -u {unit} -t deepgram-{self.of(name)} -t podman"
            return f"{reported} | grep -vE 'level=warning| container [a-z]+ [0-9a-f]{{64}}' | grep . | tail -n 1"
        return f"docker logs --tail 3 deepgram-{self.of(name)} 2>&1"

    def questions(self, name: str) -> dict[str, str]:
        """What to ask about a container: its state, its image's digests, and (Podman) its systemd unit."""
        image = f"$({self.inspect(name, '{{.Image}}')})"
        asked = {
            f"{name}_last": self.last_words(name),
            name: self.inspect(name, _INSPECT[self.cli]),
            f"{name}_digests": f"{self.cli} image inspect --format '{{{{json .RepoDigests}}}}' {image}",
        }
        # With Quadlet the unit restarts the container, not Podman.
        unit = {f"{name}_unit": f"systemctl show -p Restart,NRestarts deepgram-{self.of(name)}.service"}
        return asked | (unit if self.cli == "podman" else {})


def read(answers: dict[str, Answer], name: str) -> Container:
    """The container `name` (api, engine) from the answers to Runtime.questions; like ABSENT when there is none."""
    reported, unit = answers[name].json(), answers[f"{name}_unit"].pairs if f"{name}_unit" in answers else {}
    last = " ".join(answers[f"{name}_last"].lines[-1:])
    if not isinstance(reported, dict):
        return replace(ABSENT, complaint=last, restarts=int(unit.get("NRestarts") or 0))
    state = reported["state"]
    digests = {reference.rpartition("@")[2] for reference in answers[f"{name}_digests"].json() or []}
    return Container(
        running=bool(state.get("Running")),
        restarting=bool(state.get("Restarting")),
        status=str(state.get("Status", "")),
        started=when(str(state.get("StartedAt", ""))),
        restarts=int(unit.get("NRestarts") or reported.get("restarts") or 0),
        policy=unit.get("Restart") or (reported.get("policy") or {}).get("Name") or "no",
        digests=digests | ({reported["digest"]} if reported.get("digest") else set()),
        log=reported.get("log") or {},
        release=reported.get("release") or "",
        complaint=state.get("Error") or last,
    )


def when(reported: str) -> datetime | None:
    """A start time of Docker or Podman (RFC 3339, to the nanosecond or not); None for `never` (year 1)."""
    match = _TIME.match(reported)
    known = match and match[1] > "0002"
    return datetime.fromisoformat(match[1] + match[2]).astimezone(UTC) if known else None


def pinned(images: Any, service: str) -> str | None:
    """The digest that a folder's images.json has for a service (api, engine, license-proxy, billing); None when it has none."""
    try:
        return str(images["containers"][f"deepgram-{service}"]["digest"])
    except (KeyError, TypeError):
        return None
