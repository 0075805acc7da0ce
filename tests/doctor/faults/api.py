"""The API's own health."""

from tests.doctor.faults.table import fault

EARLIER, LATER = "2026-11-26T10:00:00Z", "2026-11-26T10:00:05.123456789Z"


@fault({"api health": "force-recreate api"})
def api_remembers_an_outage(patient):
    patient.api("Critical")
    patient.container("api", 4712, StartedAt=EARLIER)
    patient.container("engine", 4711, StartedAt=LATER)


@fault({"api health": "systemctl restart deepgram-api.service"})
def api_remembers_an_outage_podman(patient):
    patient.podman(api=EARLIER, engine=LATER)
    patient.api("Degraded")


@fault({"api health": "dgctl provision"})
def api_remembers_an_outage_of_engines_elsewhere(patient):
    del patient.records["deepgram"]["containers"]["names"]["deepgram-engine"]
    patient.api("Critical")


@fault({"api health": "docker logs --tail 50 deepgram-engine"})
def api_fails_beside_its_engine(patient):
    patient.api("Critical")
    patient.container("api", 4712, StartedAt=LATER)
    patient.container("engine", 4711, StartedAt=EARLIER)


@fault({"api health": "docker logs --tail 50 deepgram-engine"})
def api_fails_under_requests(patient):
    """Its Engines are elsewhere."""
    del patient.records["deepgram"]["containers"]["names"]["deepgram-engine"]
    patient.api("Degraded", active=3)
