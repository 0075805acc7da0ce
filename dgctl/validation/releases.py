"""The release against what is wanted beside it: the NVIDIA driver, the profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dgctl.base.errors import Problem
from dgctl.content import releases
from dgctl.deployment.deployment import RUNNERS, WITH_GPU
from dgctl.validation.context import Context


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        values = {name: str(host.vars.get(name) or "") for name in _READ if name not in host.unrendered}
        release = values.get("deepgram_release", "")
        if not set(host.groups) & set(RUNNERS):
            continue
        place = context.deployment.where(host, "deepgram_release") or host.name
        entries = host.vars.get("deepgram_engines")
        listed = [one.get("profile") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
        profiles = [str(one) for one in listed if one] or [values.get("deepgram_profile", "")]
        found = [releases.missing(release, profile) for profile in profiles]
        yield from dict.fromkeys(replace(one, where=place) for one in found if one)
        if set(host.groups) & set(WITH_GPU):
            version, branch = values.get("nvidia_driver_version", ""), values.get("nvidia_driver_branch", "")
            named = "nvidia_driver_version" if version else "nvidia_driver_branch"
            at = context.deployment.where(host, named) or place
            found = releases.not_in_branch(release, branch, version, at)
            if found:
                yield found


_READ = ("deepgram_release", "deepgram_profile", "nvidia_driver_version", "nvidia_driver_branch")
