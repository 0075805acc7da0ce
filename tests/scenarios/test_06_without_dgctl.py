"""Plain Ansible with the collection, on a server that dgctl has provisioned: roles run by full names, and nothing is to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.scenarios.support.servers import PROJECT
from tests.scenarios.support.stories import with_all


def _run(program, *words, **environment):
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        cwd="/", capture_output=True, text=True, timeout=900, env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    return done.stdout


@with_all
def test_the_collection_finds_nothing_to_do(deployment, server, tmp_path):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems()
    subprocess.run([PROJECT / "bin/collection", tmp_path], check=True, timeout=120)
    _run("ansible-galaxy", "collection", "install", "--offline", "-p", tmp_path, *tmp_path.glob("*.tar.gz"))
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    words = ("-i", deployment.inventory, "--vault-password-file", deployment.folder / ".vault_pass")
    reported = _run(
        "ansible-playbook", *words, "dgctl.selfhosted.provision",
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path), ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"),
    )  # fmt: skip
    assert re.search(rf"{server.name} .* changed=0 +unreachable=0 +failed=0", reported), reported[-3000:]
    assert "dgctl.selfhosted.nginx_proxy : Record" in reported and "dgctl.selfhosted.deepgram : Record" in reported
    roles = server.sh("ls /var/lib/deepgram/applied-state")
    assert "deepgram" in roles and "dgctl.selfhosted" not in roles
