"""What Prometheus reads of a fleet, and where."""

import yaml

from tests.paths import PROJECT
from tests.roles_app.conftest import load
from tests.roles_app.rendering import of, value

FILTER = load("filter", "scrape_jobs")
GROUPS = {"node": ["gpu1", "gpu2"], "proxy": ["lb1"], "license_proxy": ["lp1"], "monitoring": ["mon1"]}
HOSTVARS = {
    "gpu1": {"ansible_host": "192.0.2.11", "deepgram_region": "berlin"},
    "gpu2": {"ansible_host": "192.0.2.12", "deepgram_address": "2001:db8::2", "deepgram_profile": "flux"},
    "lb1": {"ansible_host": "lb1.test", "host_metrics_port": 9900},
    "lp1": {"host_metrics_node_exporter": False},
    "mon1": {"ansible_host": "192.0.2.20"},
}


def jobs(groups=GROUPS, here="mon1"):
    return {job["job"]: job for job in FILTER.scrape_jobs(groups, HOSTVARS, here)}


def addresses(job):
    return [target["address"] for target in job["targets"]]


def test_a_server_is_one_address_and_a_job_is_a_path():
    found = jobs()
    assert {name: job["path"] for name, job in found.items()} == {
        "deepgram_engine": "/relay/engine",
        "deepgram_host": "/metrics",
        "node": "/relay/node",
    }
    assert addresses(found["deepgram_engine"]) == ["192.0.2.11:9809", "[2001:db8::2]:9809"]
    assert addresses(found["deepgram_host"]) == ["192.0.2.11:9809", "[2001:db8::2]:9809", "lb1.test:9900", "lp1:9809"]
    # The License Proxy's server has no node exporter; the one that watches reads its own on loopback.
    assert addresses(found["node"])[2:] == ["lb1.test:9900", "127.0.0.1:9809"]


def test_labels_say_what_a_server_serves():
    gpu1, gpu2, lb1, _lp1 = (target["labels"] for target in jobs()["deepgram_host"]["targets"])
    assert gpu1 == {"instance": "gpu1", "profile": "stt", "region": "berlin"}
    assert gpu2 == {"instance": "gpu2", "profile": "flux"} and lb1 == {"instance": "lb1"}


def test_of_several_engines_each_is_a_target_with_its_own_path():
    engines = {
        "gpu1": [{"profile": "stt", "component": "engine-nova"}, {"profile": "flux", "component": "engine-flux"}]
    }
    found = {job["job"]: job["targets"] for job in FILTER.scrape_jobs(GROUPS, HOSTVARS, "mon1", engines)}
    of_gpu1 = [one for one in found["deepgram_engine"] if one["address"] == "192.0.2.11:9809"]
    assert [
        (one["labels"]["engine"], one["labels"]["profile"], one["labels"]["__metrics_path__"]) for one in of_gpu1
    ] == [
        ("engine-nova", "stt", "/relay/engine-nova"),
        ("engine-flux", "flux", "/relay/engine-flux"),
    ]
    assert "engine" not in found["deepgram_engine"][-1]["labels"] and len(found["deepgram_host"]) == 4


def test_a_prometheus_elsewhere_reaches_nobody_on_loopback():
    assert addresses(jobs(here="")["node"])[-1] == "192.0.2.20:9809"


def test_a_server_that_watches_and_serves():
    both = {"node": ["gpu1"], "monitoring": ["gpu1"]}
    assert all(addresses(job) == ["127.0.0.1:9809"] for job in jobs(both, "gpu1").values())


def test_nothing_to_watch_is_no_job():
    assert FILTER.scrape_jobs({}, {}) == [] and FILTER.scrape_jobs({"monitoring": []}, {}) == []


def test_the_port_is_that_of_the_role():
    assert (
        yaml.safe_load((PROJECT / "roles/host_metrics/defaults/main.yml").read_text())["host_metrics_port"]
        == FILTER.PORT
    )


def config(**changes):
    fleet = of("monitoring", host="mon1", servers={"node": {"gpu1": {"ansible_host": "192.0.2.11"}}})
    return value("monitoring", "_monitoring_config", **fleet, **changes)


def test_prometheus_gets_each_job():
    found = config(monitoring_scrape_interval_s=5)
    assert found["global"] == {"scrape_interval": "5s", "evaluation_interval": "5s"}
    engine, *_rest = found["scrape_configs"]
    assert engine == {
        "job_name": "deepgram_engine",
        "metrics_path": "/relay/engine",
        "static_configs": [{"targets": ["192.0.2.11:9809"], "labels": {"instance": "gpu1", "profile": "stt"}}],
    }
    names = [job["job_name"] for job in found["scrape_configs"]]
    assert names == ["deepgram_engine", "deepgram_host", "node", "prometheus", "alertmanager"]
