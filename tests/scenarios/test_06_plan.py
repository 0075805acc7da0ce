"""What the plan says: nothing where all is right, each thing that a hand changed, each record not to be believed."""

import json
import time

import pytest

from dgctl import deployment as deployments
from dgctl import look, vault
from dgctl.desired import Desired
from tests.scenarios.drift import changes

RECORDS = "/var/lib/deepgram/applied-state"
ROLES = ["nvidia_driver", "docker", "nvidia_container_toolkit", "deepgram_models", "deepgram", "nginx_proxy"]


def planned(deployment, server) -> dict:
    """Role -> its reasons as one text, by `dgctl plan`."""
    run = deployment.dgctl("plan")
    assert run.exit_code in (0, 10), run.problems() + run.stderr
    steps = run.document["hosts"][server.name].get("plan", {}).get("steps", [])
    assert run.exit_code == (10 if steps else 0)
    return {step["role"]: json.dumps(step["reasons"]) for step in steps}


def tasks_by_role(deployment) -> dict[str, int]:
    newest = max((deployment.folder / ".dgctl/runs").glob("*-provision*"))
    events = [json.loads(line) for line in (newest / "events.jsonl").read_text().splitlines()]
    roles = [e.get("role") for e in events if e["event"] == "runner_on_ok" and e.get("host")]
    return {role: roles.count(role) for role in roles if role}


class Looks:
    """Looks as `dgctl plan` makes them, without the start of a process for each."""

    def __init__(self, deployment):
        with vault.opened(deployment.inventory, (), (), False) as passwords:
            read = deployments.load(deployment.inventory, passwords)
        self.host = read.hosts[read.targets[0]]
        desired = Desired(read).of(self.host)
        self.request = [(self.host, {role: said["fingerprint"] for role, said in desired.items()})]

    def drift(self) -> dict[tuple[str, str], str]:
        """(role, thing) -> how it differs."""
        found = []
        look.look(self.request, lambda name, seen: found.append(seen))
        (seen,) = found
        assert not seen.problem and not seen.doubt, seen
        return {
            (role, each["thing"]): each["how"] for role, said in seen.roles.items() for each in said.get("drift", [])
        }

    def settled(self, seconds: float = 90) -> dict[tuple[str, str], str]:
        """What is left of the drift after this time; nothing when it is over before."""
        until = time.monotonic() + seconds
        while (left := self.drift()) and time.monotonic() < until:
            time.sleep(0.5)
        return left


@pytest.fixture(scope="module", autouse=True)
def right(deployment):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_nothing_is_planned_where_all_is_right(deployment, server):
    assert planned(deployment, server) == {}
    run = deployment.dgctl("provision", "--yes")
    assert run.document["hosts"][server.name] == {"state": "ok", "changed": 0, "errors": []}
    assert "checks" not in run.document and run.document["timings"]["look"] < 5


def test_every_managed_thing_that_is_changed_is_found(deployment, server):
    looks = Looks(deployment)
    todo = [
        change
        for role in ROLES
        for change in changes(role, json.loads(server.sh(f"cat {RECORDS}/{role}.json"))["things"])
    ]
    assert len(todo) > 60
    missed = []
    for change in todo:
        server.sh(change.do)
        found = looks.drift()
        server.sh(change.undo)
        if (change.role, change.thing) not in found:
            missed.append(f"{change} (found: {list(found)})")
        left = looks.settled()
        assert not left, f"after {change} was undone: {left}"
    assert missed == []


def test_everything_written_is_recorded(deployment, server):
    """Files below /etc and /usr/local that no package owns and that are younger than the server: all in a record."""
    recorded = set()
    for role in ROLES:
        things = json.loads(server.sh(f"cat {RECORDS}/{role}.json"))["things"]
        recorded |= {*things.get("files", {}), *things.get("large_files", {})}
    found = server.sh(
        "find /etc /usr/local /var/lib/deepgram -xdev -type f -newer /etc/machine-id | sort > /tmp/young; "
        "cat /var/lib/dpkg/info/*.list | sort -u > /tmp/owned; comm -23 /tmp/young /tmp/owned"
    ).split()
    # What packages write when they are installed or configured, our own records, and backups.
    others = (
        *("/etc/ssl/certs/", "/etc/alternatives", "/etc/ld.so.cache", "/etc/apparmor.d/", "/etc/resolv.conf"),
        *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock"),
        *("/etc/nvidia-container-runtime/config.toml", "/etc/docker/daemon.json."),
        *("/etc/hosts", "/etc/hostname", "/etc/cdi/nvidia.yaml.replaced-by-nvidia-cdi-refresh"),
        *(RECORDS, "/var/lib/deepgram/models/.lock"),
    )
    unknown = [path for path in found if path not in recorded and not path.startswith(others)]
    assert unknown == []


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


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (f"head -c 300 {RECORDS}/nginx_proxy.json > /tmp/r && cp /tmp/r {RECORDS}/nginx_proxy.json", "cut off"),
        (f"sed -i 's/8080/8081/' {RECORDS}/nginx_proxy.json", "changed after it was written"),
        ("record['format'] = 2", "newer dgctl"),
        ("record['host'] = 'another'", "of host another"),
        ("record['machine_id'] = '0' * 32", "re-imaged"),
        ("record['at'] += 100000", "the clock was moved"),
        ("record['desired'] = {}", "without dgctl"),
        ("record['finished'] = False", "a run ended before"),
    ],
)
def test_a_record_not_to_be_believed_has_its_role_run(deployment, server, spoil, words):
    if spoil.startswith("record"):
        python(server, spoil)
    else:
        server.sh(spoil)
    plan = planned(deployment, server)
    assert list(plan) == ["nginx_proxy"] and words in plan["nginx_proxy"], plan
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
    assert {step["role"]: step["reasons"][0] for step in plan["steps"]} == {role: {"kind": "new"} for role in ROLES}
    assert plan["seconds"] > 0 and plan["verified"] is False


def test_one_changed_variable_runs_one_role_and_says_what_changed(deployment, server, tmp_path):
    variant = deployment.variant(tmp_path / "d", nginx_proxy_hsts_max_age_s=1234)
    plan = planned(variant, server)
    assert list(plan) == ["nginx_proxy"]
    assert "nginx_proxy_hsts_max_age_s" in plan["nginx_proxy"] and "1234" in plan["nginx_proxy"]
    run = variant.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    assert set(tasks_by_role(variant)) == {"nginx_proxy"}
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
