"""The Engine: on the GPU, and with the limit that the proxy counts on."""

import re

import pytest

from dgctl.verify import metrics, models
from dgctl.verify.expect import text

GROUPS = ("engine",)
_DEVICES = re.compile(r"using devices|on device", re.IGNORECASE)


def test_max_active_requests(service, desired, runtime, expect):
    """engine_max_active_requests is the configured limit; 0 means none."""
    page, limit = service.answers["metrics"], int(desired["deepgram_engine_max_active_requests"] or 0)
    value = metrics.value(page.text, "engine_max_active_requests")
    unknown = "no such metric" if page.ok else page
    fix = f"cat {runtime.file('engine')}; {runtime.recreate('engine')}"
    expect(unknown if value is None else f"{value:g}", limit, fix, ok=value == limit)


def test_on_the_gpu(service, containers_seen, engine_gpus, runtime, expect):
    """The Engine says since its start that it computes on each of its GPUs, or it holds their devices open.

    Not to read of a CPU is no proof: the line of the start may have been rotated away.
    """
    reported = [line for line in service.logs["engine"] if _DEVICES.search(line)]
    named = set(re.findall(r"Gpu\(\d+\)", reported[-1])) if reported else set()
    held = set(service.answers["devices"].lines)
    on_cpu = models.diagnose(reported, ["CPU"]) is not None
    running = containers_seen["engine"].running
    proven = bool(engine_gpus) and max(len(named), len(held)) == len(engine_gpus)
    seen = (reported or [f"open devices: {text(held)}"])[-1] if running else containers_seen["engine"]
    fix = f"{runtime.logs('engine')}; {runtime.execute('engine', 'nvidia-smi -L')}; {runtime.recreate('engine')}"
    expect(seen, f"{len(engine_gpus)} GPU(s), no CPU fallback", fix, ok=running and proven and not on_cpu)


def test_half_precision(service, desired, containers_seen, expect):
    """The Engine does not say that its GPU computes in full precision, unless the inventory wants it so: it is much slower."""
    engine, slow = containers_seen["engine"], models.diagnose(service.logs["engine"], ["half precision off"])
    if desired["half_precision"] == "disabled":
        pytest.skip("deepgram_engine_settings.half_precision.state is disabled")
    fix = slow.remediation if slow else ""
    expect(slow.line if slow else "nothing said against it", "half precision", fix, ok=engine.running and not slow)
