"""Faults of the service: the Engine's limit and its answers, keys and what starts at boot."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

TOML, KEYS = "/etc/deepgram/engine/engine.toml", "/etc/deepgram/deepgram.env"
PROCESS = "$(docker inspect -f '{{.State.Pid}}' deepgram-engine)"


@inject("engine-hangs")
def hangs(target: Target) -> str:
    """It takes connections, as its kernel does for it, and says nothing."""
    return target.sh(f"kill -STOP {PROCESS}; docker ps --format '{{{{.Names}}}} {{{{.Status}}}}'")


@heal("engine-hangs")
def answers(target: Target) -> str:
    return target.sh("docker restart -t 5 deepgram-engine")


@inject("limit-under-a-table")
def misplaced(target: Target) -> str:
    """TOML takes a key behind a table's head for that table's."""
    target.keep(TOML)
    limit = f"$(grep '^max_active_requests' {TOML})"
    script = f"""
    limit="{limit}"
    sed -i -e '/^max_active_requests/d' -e "s/^\\[features\\]/[features]\\n$limit/" {TOML}
    docker restart -t 1 deepgram-engine
    """
    reported = target.sh(script)
    target.await_engine()
    return reported


@heal("limit-under-a-table")
def in_its_place(target: Target) -> str:
    target.put_back()
    reported = target.sh("docker restart -t 1 deepgram-engine")
    target.await_engine()
    return reported


@inject("key-file-open")
def readable(target: Target) -> str:
    return target.sh(f"chmod 644 {KEYS}; ls -l {KEYS}")


@heal("key-file-open")
def private(target: Target) -> str:
    return target.sh(f"chmod 600 {KEYS}; ls -l {KEYS}")


@inject("boot-unit-disabled")
def disabled(target: Target) -> str:
    return target.sh("systemctl disable deepgram.service; systemctl is-enabled deepgram.service || true")


@heal("boot-unit-disabled")
def enabled(target: Target) -> str:
    return target.sh("systemctl enable deepgram.service; systemctl is-enabled deepgram.service")
