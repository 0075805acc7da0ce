"""What tests do with a virtual machine: the role over SSH, one module of it, and the judges that read the next boot."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

from lab.vm.machine import Machine
from tests.paths import PROJECT

ANSIBLE = PROJECT / ".venv/bin"
UTILS = PROJECT / "plugins/module_utils"
JUDGE = "/opt/judge"


class Host:
    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        options = " ".join(machine.ssh_options())
        line = f"vm ansible_host=127.0.0.1 ansible_port={machine.port} ansible_user=root"
        self.inventory = folder / "inventory.ini"
        self.inventory.write_text(
            f"{line} ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{options}'\n"
        )
        self.variables = {
            "nvidia_driver_repository_url": "file:///srv/apt/nvidia/",
            "nvidia_driver_repository_key": (machine.disk / "key.asc").read_text(),
            "nvidia_driver_repository_key_fingerprint": (machine.disk / "fingerprint").read_text().strip(),
        }

    def reported(self, command: str) -> str:
        return self.machine.reported(command).strip()

    def role(self, **variables) -> subprocess.CompletedProcess:
        """The role nvidia_driver with these variables; stdout has Ansible's own words."""
        return self.playbook("driver.yml", **variables)

    def playbook(self, name: str, **variables) -> subprocess.CompletedProcess:
        given = self.folder / "variables.json"
        given.write_text(json.dumps({**self.variables, **variables}))
        return self._ansible("ansible-playbook", str(PROJECT / "tests/vm" / name), "-e", f"@{given}")

    def module(self, name: str, **arguments) -> dict:
        """What one module of the role returned, or failed with."""
        done = self._ansible("ansible", "all", "-m", name, "-a", json.dumps(arguments), "-o")
        return json.loads(done.stdout[done.stdout.index("{") :])

    def judged(self, expression: str):
        """The value of an expression on the host, by its own Python; the judges of the next boot are imported."""
        names = "initramfs, next_boot, next_kernel, secure_boot, kernel, kernels"
        program = f"import json; from ansible.module_utils.boot import {names}; print(json.dumps({expression}))"
        self.machine.shell(f"mkdir -p {JUDGE} && tar -x -C {JUDGE}", stdin=_utils())
        quoted = program.replace("'", "'\"'\"'")
        return json.loads(self.reported(f"PYTHONPATH={JUDGE} python3 -c '{quoted}'"))

    def console(self) -> str:
        """What the machine printed since it was switched on."""
        return (self.machine.folder / "console.log").read_text(errors="replace")

    def _ansible(self, program: str, *arguments: str) -> subprocess.CompletedProcess:
        command = [str(ANSIBLE / program), "-i", str(self.inventory), *arguments]
        environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_TIMEOUT": "120"}
        return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)


def _utils() -> bytes:
    """The module utilities as a tar of the package that modules import them from."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(UTILS.rglob("*.py")):
            tar.add(path, f"ansible/module_utils/{path.relative_to(UTILS)}")
    return out.getvalue()
