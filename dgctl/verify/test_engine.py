"""The Engine: on the GPU, and with the limit that the proxy counts on."""

import re

from dgctl.verify import metrics
from dgctl.verify.expect import text

GROUPS = ("engine",)


def test_max_active_requests(service, wanted, runtime, expect):
    """engine_max_active_requests is the configured limit; 0 means none."""
    page, limit = service.answers["metrics"], int(wanted["deepgram_engine_max_active_requests"] or 0)
    value = metrics.value(page.text, "engine_max_active_requests")
    unknown = "no such metric" if page.ok else page
    fix = f"cat /etc/deepgram/engine/engine.toml; {runtime.recreate('engine')}"
    expect(unknown if value is None else f"{value:g}", limit, fix, ok=value == limit)


def test_on_the_gpu(service, containers_seen, engine_gpus, runtime, expect):
    """The Engine says since its start that it computes on each of its GPUs, or it holds their devices open.

    Not to read of a CPU is no proof: the line of the start may have been rotated away.
    """
    said = [line for line in service.logs["engine"] if "device" in line.lower()]
    named = set(re.findall(r"Gpu\(\d+\)", said[-1])) if said else set()
    held = set(service.answers["devices"].lines)
    on_cpu = any("cpu" in line.lower() for line in said)
    running = containers_seen["engine"].running
    proven = bool(engine_gpus) and max(len(named), len(held)) == len(engine_gpus)
    seen = (said or [f"open devices: {text(held)}"])[-1] if running else containers_seen["engine"]
    fix = f"{runtime.logs('engine')}; {runtime.execute('engine', 'nvidia-smi -L')}; {runtime.recreate('engine')}"
    expect(seen, f"{len(engine_gpus)} GPU(s), no CPU fallback", fix, ok=running and proven and not on_cpu)
