"""What the plan says: nothing where all is right, each thing that a hand changed, each record not to be believed."""

import json

import pytest

from tests.scenarios.support import walk
from tests.scenarios.support.stories import with_all
from tests.scenarios.support.walk import RECORDS, planned

ROLES = ["nvidia_driver", "docker", "nvidia_container_toolkit", "deepgram_models", "deepgram", "nginx_proxy"]
EVERY = [*ROLES, "host_firewall", "node_watch", "host_metrics"]


def tasks_by_role(deployment) -> dict[str, list[str]]:
    """Role -> the tasks of the newest run that were not skipped; those of no role under ""."""
    newest = max((deployment.folder / ".dgctl/runs").glob("*-provision*"))
    found: dict[str, list[str]] = {}
    for event in map(json.loads, (newest / "events.jsonl").read_text().splitlines()):
        if event["event"] == "runner_on_ok" and event.get("host"):
            found.setdefault(event.get("role") or "", []).append(event["task"])
    return found


@pytest.fixture(scope="module", autouse=True)
def right(deployment):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_nothing_is_planned_where_all_is_right(deployment, server):
    assert planned(deployment, server) == {}
    run = deployment.dgctl("provision", "--yes")
    assert run.document["hosts"][server.name] == {"state": "ok", "changed": 0, "errors": []}
    assert "checks" not in run.document and run.document["timings"]["look"] < 5


@with_all
def test_every_managed_thing_that_is_changed_is_found(deployment, server):
    assert walk.missed(deployment, server, ROLES) == []


@with_all
def test_one_provision_restores_everything(deployment, server):
    assert walk.not_restored(deployment, server, ROLES, turn=1) == []


def test_a_cdi_file_with_another_gpu_is_regenerated(deployment, server):
    """Its content is of the server's own GPU again, or the run fails: it is never recorded as it was found."""
    path = "/var/run/cdi/nvidia.yaml"
    before = server.sh(f"cat {path}")
    server.sh(f"sed -i 's/GPU-[0-9a-f-]*/GPU-ffffffff-0000-1111-2222-333333333333/' {path}")
    assert "cdi specifications" in deployment.dgctl("doctor").failed_checks()
    assert path in planned(deployment, server)["nvidia_container_toolkit"]
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0 and run.document["hosts"][server.name]["changed"] > 0, run.problems()
    assert server.sh(f"cat {path}") == before
    assert planned(deployment, server) == {}


FOREIGN = "/etc/nginx/conf.d/00-foreign.conf"
TEAPOT = (
    "server { listen 443 ssl; server_name $(hostname); ssl_certificate /etc/nginx/tls/deepgram.crt; "
    "ssl_certificate_key /etc/nginx/tls/deepgram.key; return 418; }"
)


def test_a_foreign_site_that_takes_the_requests_is_named(deployment, server):
    """Nothing of the role's own was changed, and nobody is served."""
    server.sh(f'echo "{TEAPOT}" > {FOREIGN} && nginx -s reload && sleep 1')
    try:
        assert "HTTP 418" in planned(deployment, server)["nginx_proxy"]
        doctor = deployment.dgctl("doctor")
        assert doctor.failed_checks() == {"callers"} and f"rm {FOREIGN}" in doctor.problems()
        run = deployment.dgctl("provision", "--yes")
        assert run.exit_code == 6 and f"{FOREIGN}:1" in run.problems(), run.problems()
    finally:
        server.sh(f"rm {FOREIGN}")
    assert deployment.dgctl("provision", "--yes").exit_code == 0  # NGINX had not been told that the file is gone
    assert planned(deployment, server) == {}


def test_everything_written_is_recorded(server):
    assert walk.unrecorded(server, EVERY) == []


def python(server, text):
    """Runs this on the server with `record` as the parsed record of nginx_proxy, and writes it back with a fitting sum."""
    server.sh(
        "python3 - <<'END'\n"
        "import hashlib, json\n"
        f"path = '{RECORDS}/nginx_proxy.json'\n"
        "record = json.load(open(path))\n"
        f"{text}\n"
        "body = {key: value for key, value in record.items() if key != 'sum'}\n"
        "record['sum'] = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(',', ':')).encode()).hexdigest()\n"
        "json.dump(record, open(path, 'w'))\n"
        "END"
    )


SPOILED = [
    (f"head -c 300 {RECORDS}/nginx_proxy.json > /tmp/r && cp /tmp/r {RECORDS}/nginx_proxy.json", "cut off"),
    (f"sed -i 's/8080/8081/' {RECORDS}/nginx_proxy.json", "changed after it was written"),
    ("record['format'] = 2", "newer dgctl"),
    ("record['host'] = 'another'", "of host another"),
    ("record['machine_id'] = '0' * 32", "re-imaged"),
    ("record['at'] += 100000", "the clock was moved"),
    ("record['desired'] = {}", "without dgctl"),
    ("record['finished'] = False", "a run ended before"),
]
HEALED = ("cut off", "a run ended before")  # of one that cannot be read, and of one that can


@pytest.mark.parametrize(("spoil", "words"), SPOILED, ids=[words for _, words in SPOILED])
def test_a_record_not_to_be_believed_has_its_role_run(deployment, server, spoil, words):
    server.sh(f"cp -a {RECORDS}/nginx_proxy.json /root/kept.json")
    if spoil.startswith("record"):
        python(server, spoil)
    else:
        server.sh(spoil)
    plan = planned(deployment, server)
    assert list(plan) == ["nginx_proxy"] and words in plan["nginx_proxy"], plan
    if words not in HEALED:
        server.sh(f"mv /root/kept.json {RECORDS}/nginx_proxy.json")
        return
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    assert "nvidia_driver" not in tasks_by_role(deployment)
    assert planned(deployment, server) == {}


def test_a_reinstalled_server_under_the_old_name_is_new(deployment, server):
    server.sh(f"mv {RECORDS} {RECORDS}.kept")
    try:
        plan = deployment.dgctl("plan").document["hosts"][server.name]["plan"]
    finally:
        server.sh(f"mv {RECORDS}.kept {RECORDS}")
    assert {step["role"]: step["reasons"][0] for step in plan["steps"]} == {role: {"kind": "new"} for role in EVERY}
    assert plan["seconds"] > 0 and plan["verified"] is False


def test_one_changed_variable_runs_one_role_and_says_what_changed(deployment, server, tmp_path):
    variant = deployment.variant(tmp_path / "d", nginx_proxy_hsts_max_age_s=1234)
    plan = planned(variant, server)
    assert list(plan) == ["nginx_proxy"]
    assert "nginx_proxy_hsts_max_age_s" in plan["nginx_proxy"] and "1234" in plan["nginx_proxy"]
    run = variant.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    ran = tasks_by_role(variant)
    assert set(ran) == {"nginx_proxy"}  # that it begins is noted over the look's connection
    assert "Learn which system this is" not in ran["nginx_proxy"]  # the look has
    # The other operator, with the old variable, is told what the first one changed.
    other = planned(deployment, server)
    assert list(other) == ["nginx_proxy"] and "1234" in other["nginx_proxy"]
    assert deployment.dgctl("provision", "--yes").exit_code == 0


def test_a_plan_in_a_file(deployment, server, tmp_path):
    variant = deployment.variant(tmp_path / "d", nginx_proxy_hsts_max_age_s=77)
    out = tmp_path / "plan.json"
    assert variant.dgctl("plan", f"--out={out}").exit_code == 10
    server.sh("systemctl stop nginx; chmod 0600 /etc/docker/daemon.json")
    refused = variant.dgctl("provision", "--yes", f"--plan={out}")
    assert refused.exit_code == 10 and "docker" in refused.problems()
    assert "max-age=77" not in server.sh("cat /etc/nginx/conf.d/deepgram.conf")
    server.sh("systemctl start nginx; chmod 0644 /etc/docker/daemon.json")
    run = variant.dgctl("provision", "--yes", f"--plan={out}")
    assert run.exit_code == 0, run.problems()
    assert "max-age=77" in server.sh("cat /etc/nginx/conf.d/deepgram.conf")
    assert deployment.dgctl("provision", "--yes").exit_code == 0


def test_verbose_shows_what_files_become_and_no_secret(deployment, server, tmp_path):
    variant = deployment.variant(tmp_path / "d", deepgram_log_format="json", deepgram_api_key="another-key-than-before")
    run = variant.dgctl("plan", "-v")
    text = "\n".join(diff["text"] for diff in run.document["diffs"])
    assert "--log-format=json" in text
    assert "another-key-than-before" not in json.dumps(run.document) + run.stderr
    plan = run.document["hosts"][server.name]["plan"]
    assert set(plan["restarts"]) == {"deepgram-api", "deepgram-engine"} and plan["reboot"] is False


def test_the_records_are_for_root_alone(server):
    assert server.sh(f"stat -c %a {RECORDS}").strip() == "700"
    assert set(server.sh(f"stat -c %a {RECORDS}/*").split()) == {"600"}
