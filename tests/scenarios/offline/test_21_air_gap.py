"""Behind an air gap: Billing gives the licences, nobody outside is asked, and its journal arrives here whole."""

import json
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from lab.home import DEFAULT, Home
from tests.scenarios.support.calls import transcribe
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up
from tests.scenarios.support.stories import with_all

pytestmark = with_all
NAME = "airgap"
SERVICES, LOG = Home(DEFAULT).services, "/var/log/nginx/access.log"
Lab = tuple[Deployment, Server, Server]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A node and a server with Billing."""
    lab_down(NAME)
    deployment, (node, billing) = lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=1", "--billing=1")
    yield deployment, node, billing
    lab_down(NAME)


def outside(script: str) -> str:
    """What a script says on the lab's services, which stand for everything outside."""
    words = ["docker", "exec", SERVICES, "sh", "-c", script]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_provisioned_and_nobody_outside_gave_a_licence(lab):
    deployment, node, billing = lab
    before = int(outside(f"wc -l < {LOG}"))  # addresses are given again: what others asked before does not count
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}
    assert any(check["check"].startswith("billing.") for check in run.document["checks"])
    for part in ("api", "engine"):
        assert f'"https://{billing.address}:8443"' in node.sh(f"cat /etc/deepgram/{part}/{part}.toml")
        assert node.sh(f"stat -c %a /etc/deepgram/{part}/{part}.toml").strip() in ("600", "400")
    asked = outside(f"tail -n +{before} {LOG} | grep '^{node.address} '")
    assert ".dg HTTP" in asked, "its models came from there"
    assert "/v1/checkin" not in asked
    assert deployment.dgctl("plan").exit_code == 0


def test_with_the_only_way_out_cut_it_starts_and_serves(lab, tmp_path):
    deployment, node, billing = lab
    services = outside("hostname -I").split()[0]
    for server in (node, billing):
        server.sh(f"ip route add blackhole {services}/32")
    try:
        billing.sh("docker restart deepgram-billing")
        node.sh("docker restart deepgram-engine deepgram-api")
        run = deployment.dgctl("provision", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
        run = deployment.dgctl("verify")
        assert run.exit_code == 0, run.problems()
        assert transcribe(node, tmp_path).status_code == 200
    finally:
        for server in (node, billing):
            server.sh(f"ip route del blackhole {services}/32")


def test_its_journal_arrives_whole_and_stays_there(lab):
    deployment, _, billing = lab
    before = set((deployment.folder / "journals").glob("*"))
    run = deployment.dgctl("journal")
    assert run.exit_code == 0, run.problems() + run.stderr
    (file,) = set((deployment.folder / "journals").glob("*")) - before
    with tarfile.open(file) as archive:
        texts = [archive.extractfile(one).read().decode() for one in archive if one.isfile()]
    entries = [json.loads(line) for text in texts for line in text.splitlines()]
    assert {"stem", "impeller"} <= {entry.get("component") for entry in entries}
    assert billing.has("/var/lib/deepgram-billing/journal/journal")


def test_one_that_is_stopped_is_named_and_started_again(lab):
    deployment, _, billing = lab
    billing.sh("docker stop deepgram-billing")
    run = deployment.dgctl("verify")
    assert run.exit_code == 8 and billing.name in {
        check["host"] for check in run.document["checks"] if check["verdict"] == "fail"
    }
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert billing.sh("docker inspect --format '{{.State.Running}}' deepgram-billing").strip() == "true"


JOURNAL = "/var/lib/deepgram-billing/journal"
# As an Engine asks; a line fits as long as the journal's last page has room, so that it takes some until one has none.
CHECK_INS = """\
key=$(sed -n 's/^key = "\\(.*\\)"$/\\1/p' /etc/deepgram/engine/engine.toml | head -1)
for _ in $(seq 200); do
    code=$(curl -sk -o /dev/null -w '%{{http_code}}' -H "Authorization: Token $key" -H 'Content-Type: application/json' \
        -d '{{"component": "impeller"}}' https://{}:8443/v1/checkin)
    [ "$code" = 200 ] || break
done
echo "$code"
"""


def test_a_journal_on_a_full_disk_is_named_and_neither_lines_nor_neighbours_are_lost(lab, tmp_path):
    deployment, node, billing = lab
    before = billing.sh(f"cat {JOURNAL}/journal")
    billing.sh(
        f"docker stop deepgram-billing && cp -a {JOURNAL} /root/kept && mount -t tmpfs -o size=4m tmpfs {JOURNAL}"
        f" && chown --reference=/root/kept {JOURNAL} && chmod 700 {JOURNAL} && cp -a /root/kept/. {JOURNAL}"
        " && docker start deepgram-billing && sleep 3"
    )
    try:
        billing.sh(f"dd if=/dev/zero of={JOURNAL}/filler bs=4k", check=False)
        assert node.sh(CHECK_INS.format(billing.address)).strip() == "503"
        assert "No space left" in billing.sh("docker logs --tail 5 deepgram-billing 2>&1")
        run = deployment.dgctl("doctor")
        assert run.exit_code != 0
        failed = {
            (check["host"], check["check"]): check for check in run.document["checks"] if check["verdict"] == "fail"
        }
        assert JOURNAL in failed[billing.name, "disk"]["seen"] and "larger disk" in failed[billing.name, "disk"]["fix"]
        billing.sh(f"rm {JOURNAL}/filler")
        run = deployment.dgctl("provision", "--yes", "--full", "--limit", node.name)
        assert run.exit_code == 0, run.problems() + run.stderr
        assert transcribe(node, tmp_path).status_code == 200
        after = billing.sh(f"cat {JOURNAL}/journal")
        assert after.startswith(before) and len(after) > len(before), "nothing that was written is lost, and it goes on"
    finally:
        billing.sh(
            f"rm -f {JOURNAL}/filler; docker stop deepgram-billing; cp -a {JOURNAL}/journal /root/kept/; umount {JOURNAL}"
            f"; cp -a /root/kept/. {JOURNAL}; docker start deepgram-billing"
        )
