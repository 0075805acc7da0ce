"""What a hand changed on the server, `provision` puts back; what fails leaves what was there."""

import time

import pytest

from tests.scenarios.support.calls import LiveStream

EDITED = ("/etc/deepgram/engine/engine.toml", "/etc/deepgram/compose.yaml", "/etc/nginx/conf.d/deepgram.conf")


def test_files_edited_by_hand(deployment, server):
    before = server.sh(f"cat {' '.join(EDITED)}")
    for path in EDITED:
        server.sh(f"echo '# edited by hand' >> {path}")
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    assert run.document["hosts"][server.name]["changed"] >= len(EDITED)
    assert server.sh(f"cat {' '.join(EDITED)}") == before


def test_own_keys_in_daemon_json_stay(deployment, server):
    server.sh(
        "python3 - <<'END'\n"
        "import json\n"
        "path = '/etc/docker/daemon.json'\n"
        "options = json.load(open(path))\n"
        "options['max-concurrent-downloads'] = 2\n"
        "del options['features']\n"
        "json.dump(options, open(path, 'w'))\n"
        "END"
    )
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    after = server.sh("cat /etc/docker/daemon.json")
    assert '"max-concurrent-downloads": 2' in after
    assert '"cdi": true' in after


def test_malformed_daemon_json_is_refused_and_left_alone(deployment, server):
    server.sh("cp -a /etc/docker/daemon.json /root/ && echo '{ not json' > /etc/docker/daemon.json")
    try:
        run = deployment.dgctl("provision", "--yes")
        left = server.sh("cat /etc/docker/daemon.json")
    finally:
        server.sh("mv /root/daemon.json /etc/docker/")
    assert run.exit_code == 6, run.problems()
    assert "/etc/docker/daemon.json" in run.problems()
    assert left == "{ not json\n"


def test_wrong_checksum_keeps_the_good_file(deployment, server, tmp_path):
    links = deployment.variables()["deepgram_models_links"]
    first = links[0]["url"] if isinstance(links[0], dict) else links[0]
    path = f"/var/lib/deepgram/models/{first.rsplit('/', 1)[1]}"
    before = server.sh(f"sha256sum {path}")
    changed = [{"url": first, "sha256": "0" * 64}, *links[1:]]
    run = deployment.variant(tmp_path / "d", deepgram_models_links=changed).dgctl("provision", "--yes")
    assert run.exit_code == 6, run.problems()
    assert "0000" in run.problems()
    assert server.sh(f"sha256sum {path}") == before
    assert not server.sh("ls /var/lib/deepgram/models | grep partial || true")
    assert deployment.dgctl("provision", "--yes").exit_code == 0


def test_changed_setting_reaches_the_engine_and_a_live_stream_outlasts_its_stop(deployment, server, tmp_path):
    """Docker itself would kill what has not ended after 10 seconds."""
    variant = deployment.variant(tmp_path / "d", deepgram_engine_max_active_requests=12)
    before = server.sh("docker inspect -f '{{.Id}}' deepgram-engine")
    with LiveStream(server, tmp_path, seconds=35) as live:
        run = variant.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    assert server.sh("docker inspect -f '{{.Id}}' deepgram-engine") != before
    assert not live.error and live.duration == pytest.approx(35, abs=0.5), (live.error, live.messages[-1:])
    assert "engine_max_active_requests 12" in server.sh("curl -s http://127.0.0.1:9991/metrics")
    assert deployment.dgctl("provision", "--yes").exit_code == 0


def test_an_api_that_blames_itself_for_an_outage_of_its_engine_is_made_anew_once(deployment, server):
    """The Engine came back by itself. What the API says of itself then keeps it out of every proxy."""
    ask = "curl -s -o /dev/null --data-binary @/etc/hostname http://127.0.0.1:8080/v1/listen"
    server.sh(f"docker stop deepgram-engine && for i in 1 2 3 4 5; do {ask} & done; wait; docker start deepgram-engine")
    planned = deployment.dgctl("plan").document["hosts"][server.name]["plan"]
    assert ([step["role"] for step in planned["steps"]], planned["restarts"]) == (["deepgram"], ["deepgram-api"])
    begin = server.sh("date +%s").strip()
    assert deployment.dgctl("provision", "--yes").exit_code == 0
    starts = "docker events --filter container=deepgram-api --filter event=start"
    assert len(server.sh(f"{starts} --since {begin} --until $(date +%s)").splitlines()) == 1
    assert '"Ready"' in server.sh("curl -s http://127.0.0.1:8080/v1/status")


def test_reboot_brings_everything_back(deployment, server):
    started = server.sh("systemctl show --property=UserspaceTimestamp --value")
    server.sh("systemctl reboot", check=False)
    deadline = time.monotonic() + 180
    run = None
    while run is None or run.exit_code != 0:
        assert time.monotonic() < deadline, run and run.problems()
        time.sleep(3)
        run = deployment.dgctl("verify")
    assert server.sh("systemctl show --property=UserspaceTimestamp --value") != started
    assert server.sh("systemctl is-system-running").strip() == "running"
    assert deployment.dgctl("provision", "--yes").document["hosts"][server.name]["changed"] == 0
