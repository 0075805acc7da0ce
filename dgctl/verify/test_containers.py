"""The two containers: running, from the pinned images, coming back after a failure, with bounded logs."""

import pytest
from testinfra.host import Host

from dgctl.verify import containers, gpus
from dgctl.verify.ask import ask

GROUPS = ("node",)
IMAGES = "/etc/deepgram/images.json"
each = pytest.mark.parametrize("name", containers.SERVICES)


@pytest.fixture(scope="module")
def on_host(host: Host, runtime):
    return ask(host, {"images": f"cat {IMAGES}", "gpus": runtime.execute("engine", "nvidia-smi -L")})


@each
def test_running(containers_seen, runtime, name, expect):
    container = containers_seen[name]
    fix = f"{runtime.logs(name)}; {runtime.recreate(name)}"
    expect(container, "running", fix, ok=container.running and not container.restarting)


@each
def test_not_in_a_loop(containers_seen, runtime, name, expect):
    container = containers_seen[name]
    expect(container, "no restarts in a row", runtime.logs(name), ok=container.running and not container.looping)


@each
def test_pinned_image(containers_seen, on_host, wanted, name, expect):
    """The image's registry digest is the one in the inventory, or else the one that provision wrote down."""
    inventory = (wanted["deepgram_image_digests"] or {}).get(name)
    expected = inventory or containers.pinned(on_host["images"].json(), name)
    digests = containers_seen[name].digests
    expect(digests, expected or f"a digest in {IMAGES}", f"dgctl provision; cat {IMAGES}", ok=expected in digests)


@each
def test_release(containers_seen, wanted, runtime, name, expect):
    """The container was made for the release in the inventory."""
    release = containers_seen[name].release
    expect(release, wanted["deepgram_release"], "dgctl provision", ok=release == wanted["deepgram_release"])


@each
def test_comes_back(containers_seen, name, expect):
    policy = containers_seen[name].policy
    expect(policy, "always or unless-stopped", "dgctl provision", ok=policy in ("always", "unless-stopped"))


@each
def test_logs_rotate(containers_seen, name, expect):
    container = containers_seen[name]
    expect(container.log_text, "a log driver with a size limit", "dgctl provision", ok=container.log_capped)


def test_engine_sees_the_gpus(on_host, engine_gpus, runtime, expect):
    """The same GPUs, by UUID, inside the Engine: hidden ones mean transcription on the CPU, or none."""
    inside = gpus.listed(on_host["gpus"].lines)
    seen = inside or f"no GPU inside the Engine container: {on_host['gpus']}"
    fix = f"{runtime.execute('engine', 'nvidia-smi -L')}; nvidia-ctk cdi list; {runtime.recreate('engine')}"
    expect(seen, engine_gpus, fix, ok=bool(engine_gpus) and set(inside) == set(engine_gpus))
