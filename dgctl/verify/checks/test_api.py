"""The API: connected to an Engine, fit to serve; not near its end of life."""

from dgctl.verify import certificates

GROUPS = ("api",)


def test_health(service, runtime, expect):
    said = service.answers["status"]
    health = (said.json() or {}).get("system_health") if said.ok else None
    fix = f"dgctl provision, where what failed is over (or {runtime.recreate('api')}); else {runtime.logs('engine')}"
    expect(health or str(said), "Ready or Healthy", fix, ok=health in ("Ready", "Healthy"))


def test_engine_connected(service, runtime, expect):
    said = service.answers["engine"]
    state = (said.json() or {}).get("engine_connection_status") if said.ok else None
    expect(state or str(said), "Connected", f"{runtime.logs('engine')}; cat {runtime.file('api')}")


def test_end_of_life(service, expect):
    certificates.expect_life(service.answers["certificates"], expect)
