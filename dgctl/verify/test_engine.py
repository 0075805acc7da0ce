"""The Engine: on the GPU, with its own configuration, and with the limit that the proxy counts on."""

import pytest

from dgctl.verify import metrics
from dgctl.verify.containers import SERVICES

pytestmark = pytest.mark.groups("node", "engine")


def test_max_active_requests(service, wanted, runtime, expect):
    """engine_max_active_requests is the configured limit; 0 means none."""
    page, limit = service.answers["metrics"], int(wanted["deepgram_engine_max_active_requests"] or 0)
    value = metrics.value(page.text, "engine_max_active_requests")
    unknown = "no such metric" if page.ok else page
    fix = f"cat /etc/deepgram/engine/engine.toml; {runtime.recreate('engine')}"
    expect(unknown if value is None else f"{value:g}", limit, fix, ok=value == limit)


@pytest.mark.parametrize("name", SERVICES)
def test_own_configuration(service, containers_seen, runtime, name, expect):
    """No container runs on its built-in configuration because it did not find its file."""
    fallen = [line for line in service.logs[name] if "Falling back to default" in line]
    fix = f"ls -l /etc/deepgram/{name}; {runtime.recreate(name)}"
    seen = fallen[:1] if containers_seen[name].running else containers_seen[name]
    expect(seen, [], fix, ok=containers_seen[name].running and not fallen)


def test_on_the_gpu(service, containers_seen, runtime, expect):
    """The Engine's own word since its start on what it computes with."""
    said = [line for line in service.logs["engine"] if "device" in line.lower()]
    on_cpu = [line for line in said if "cpu" in line.lower()]
    running = containers_seen["engine"].running
    seen = (on_cpu or said or ["no word of a CPU"])[-1] if running else containers_seen["engine"]
    fix = f"{runtime.logs('engine')}; {runtime.execute('engine', 'nvidia-smi -L')}"
    expect(seen, "no CPU fallback", fix, ok=running and not on_cpu)
