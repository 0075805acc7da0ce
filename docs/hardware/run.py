"""Runs on this machine, which has an NVIDIA GPU, everything of dgctl that only reads, and writes down what it saw.

python docs/hardware/run.py [--engine ENGINE] [--load COMMAND] [--out FILE]
bin/hardware-run does that in this checkout's environment.

Every role in check mode, the modules that look at a driver, the preflight, `dgctl doctor` and `dgctl verify` against
localhost, and what the tools that they ask say themselves. Changes nothing, and needs no deployment: what no deployment is
there for is told as such. With --load the doctor is asked once more while the command keeps the GPUs busy.
"""

import argparse
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("nvidia_driver", "docker", "podman", "nvidia_container_toolkit")
# Those that a role reaches only where its packages can be had; {driver} is the version in the kernel.
MODULES = {
    "nvidia_driver_load": {"version": "{driver}"},
    "nvidia_persistence": {},
    "nvidia_mig": {},
    "nvidia_cdi": {"engine": "docker", "full_cdi_from": "26.1.0", "drop_in": ""},
}
WARM_S = 10  # a load that has begun by then counts
QUESTIONS = {
    "system": "cat /etc/os-release; uname -srm",
    "PCI": "lspci -nn -d 10de:",
    "loaded module": "cat /proc/driver/nvidia/version",
    "module on disk": "modinfo -F version nvidia; modinfo -F license nvidia; modinfo -F signer nvidia",
    "GPUs": "nvidia-smi -L",
    "nvidia-smi": "nvidia-smi",
    "link": "grep -H . /sys/bus/pci/devices/*/{current,max}_link_{speed,width} 2>/dev/null",
    "fabric": "ls /proc/driver/nvidia-nvswitch/devices; nvidia-smi --query-gpu=fabric.state,fabric.status --format=csv",
    "CDI": "ls -l /etc/cdi /var/run/cdi; nvidia-ctk --version; nvidia-ctk cdi list",
    "container engines": "docker version --format '{{.Server.Version}}'; podman --version",
    "kernel log": "dmesg | grep -E 'NVRM|nvidia|Xid' | tail -20",
}
SECRET = re.compile(r"(?<=GPU-)[0-9a-f-]{36}|(?<=MIG-)[0-9a-f-]{36}|(?<=Serial Number: )\w+")
ANSIBLE = {
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
}
INVENTORY = """\
[node]
localhost

[all:vars]
ansible_connection=local
ansible_python_interpreter={python}
deepgram_release=release-260812
deepgram_container_engine={engine}
deepgram_registry_username=nobody
deepgram_models_links=["https://models.example.com/of-no-use.dg"]
"""
SECRETS = "deepgram_api_key: of-no-use\ndeepgram_registry_password: of-no-use\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="the page (default: docs/hardware/DATE-GPU-ENGINE.md)")
    parser.add_argument("--load", metavar="COMMAND", help="keeps the GPUs busy for a minute, while the doctor looks")
    parser.add_argument("--engine", choices=("docker", "podman"), default="docker", help="asked for containers")
    options = parser.parse_args()
    cards = shell("nvidia-smi --query-gpu=name,driver_version --format=csv,noheader")
    if not cards.strip() or "failed" in cards.lower():
        sys.exit(
            f"nvidia-smi shows no GPU here: {cards.strip() or 'it is not installed'}. Fix: run this where one works."
        )
    name, driver = cards.splitlines()[0].split(", ")
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    head = heading(day, cards.splitlines(), name, driver, options.engine)
    page = "\n".join([*head, *roles_and_verbs(driver, options.engine, options.load), *answers()]) + "\n"
    out = options.out or ROOT / "docs/hardware" / f"{day}-{slug}-{options.engine}.md"
    out.write_text(SECRET.sub("(left out)", page))
    print(f"written: {out}")


def heading(day, cards, name, driver, engine):
    command = "`bin/hardware-run`"
    return [
        f"# {day}: {len(cards)} x {name}, driver {driver}, {engine}",
        "",
        f"Written by {command}; nothing was changed.",
    ]


def roles_and_verbs(driver, engine, load):
    """What each role and module would do, and what each verb found, as lines of the page."""
    with tempfile.TemporaryDirectory() as scratch:
        inventory = deployment(Path(scratch), engine)
        yield from ("", "## Roles in check mode", "", "| role | tasks | would change | ended |", "|---|---|---|---|")
        for role in ROLES:
            yield "| {} | {} | {} | {} |".format(role, *checked(role, inventory, Path(scratch)))
        yield from ("", "## Modules in check mode", "", "| module | said |", "|---|---|")
        for name, arguments in MODULES.items():
            yield f"| {name} | {asked(name, arguments, driver)} |"
        for verb in ("preflight", "doctor", "verify"):
            yield from ("", f"## dgctl {verb}", "", *findings(verb, inventory))
        if load:
            yield from under_load(load, inventory)


def deployment(folder, engine):
    """The inventory of a deployment that has no more than this machine; its secrets are of no use."""
    vault, password = folder / "group_vars/all/vault.yml", folder / ".vault_pass"
    vault.parent.mkdir(parents=True)
    password.touch(mode=0o600)
    password.write_text("of-no-use\n")
    vault.write_text(SECRETS)
    run([sys.executable, "-m", "ansible", "vault", "encrypt", "--vault-password-file", str(password), str(vault)], {})
    (folder / "inventory.ini").write_text(INVENTORY.format(python=sys.executable, engine=engine))
    return folder / "inventory.ini"


def checked(role, inventory, scratch):
    """(tasks that ran, those that would change something, how it ended)."""
    facts = ["!all", "!min", "distribution", "pkg_mgr"]
    play = [{"hosts": "node", "become": True, "gather_facts": True, "gather_subset": facts, "roles": [role]}]
    (scratch / "role.yml").write_text(yaml.safe_dump(play))
    command = [sys.executable, "-m", "ansible", "playbook", "--check", "-i", str(inventory), str(scratch / "role.yml")]
    done = run(command, ANSIBLE | {"ANSIBLE_VAULT_PASSWORD_FILE": str(scratch / ".vault_pass")})
    counts = {key: int(value) for key, value in re.findall(r"(ok|changed|failed)=(\d+)", done.stdout)}
    message = re.search(r'"msg": "(.*)"', done.stdout) or re.search(r"ERROR!? (.*)", done.stdout + done.stderr)
    ended = "well" if done.returncode == 0 else message[1] if message else f"status {done.returncode}"
    return counts.get("ok", 0), counts.get("changed", 0), ended.replace("|", "/")


def asked(name, arguments, driver):
    """What a module says in check mode, without what every module says."""
    given = ["-a", json.dumps(arguments).replace("{driver}", driver)] if arguments else []
    inventory = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = run(
        [sys.executable, "-m", "ansible", "adhoc", "localhost", *inventory, "--check", "-m", name, *given], ANSIBLE
    )
    reported = re.search(r"=> (\{.*\})", done.stdout, re.DOTALL)
    if not reported:
        return cell((done.stderr or done.stdout).strip()[-300:])
    return cell(", ".join(f"{key}: {value}" for key, value in json.loads(reported[1]).items() if key != "invocation"))


def findings(verb, inventory):
    done = run([sys.executable, "-m", "dgctl", verb, str(inventory), "--json"], {"PYTHONPATH": str(ROOT)})
    try:
        document = json.loads(done.stdout)
    except ValueError:
        yield f"no answer: {(done.stderr or done.stdout).strip()[-400:]}"
        return
    yield f"Exit code {document['exit_code']}, {document['seconds']:.1f} s."
    yield from (f"- {problem['what']}: {problem['value']}" for problem in document["errors"])
    checks = document.get("checks") or []
    if checks:
        yield from ("", "| check | verdict | seen | expected |", "|---|---|---|---|")
    for check in checks:
        yield "| {} |".format(" | ".join(cell(check[key]) for key in ("check", "verdict", "seen", "expected")))


def cell(value):
    return str(value or "").replace("|", "/").replace("\n", " ")


def under_load(load, inventory):
    """What the doctor finds while a command keeps the GPUs busy: a healthy one stays healthy at work."""
    yield from ("", "## dgctl doctor under load", "", f"While this ran: `{load}`", "")
    with subprocess.Popen(["bash", "-c", load], stdout=subprocess.DEVNULL, start_new_session=True) as busy:
        try:
            time.sleep(WARM_S)
            query = "utilization.gpu,power.draw,temperature.gpu,clocks_event_reasons.active"
            yield from ("```console", shell(f"nvidia-smi --query-gpu={query} --format=csv").rstrip(), "```", "")
            yield from findings("doctor", inventory)
        finally:
            if busy.poll() is None:
                os.killpg(busy.pid, signal.SIGTERM)


def answers():
    """What the tools say themselves."""
    yield from ("", "## What the tools say", "")
    for what, command in QUESTIONS.items():
        yield from (f"### {what}", "", "```console", f"$ {command}", shell(command).rstrip(), "```", "")


def shell(command):
    return run(["bash", "-c", command], {}).stdout


def run(command, environment):
    """Both streams count for a page; a command that hangs is ended after five minutes, and told."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            env=os.environ | environment,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "no answer within 300 s\n", "")


if __name__ == "__main__":
    main()
