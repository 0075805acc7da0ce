"""Seeded tries of what a user might write - inventory, YAML, vault, options -; none may end as a bug. `bin/fuzz --help`."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.corpus.runner import BASE, Row, prepare, rows, run

VERBS = ("validate", "validate", "validate", "validate", "plan", "provision", "status", "drain", "remove", "upgrade")
OPTIONS = (
    "--limit", "--json", "-v", "--vault-password-file", "--vault-id", "-J", "--check", "--yes", "--full", "--plan", "--out",
    "--batch", "--max-fail", "--watch", "--release", "--driver", "--blue-green", "--note", "--dead", "--deep", "--nosuch", "--",
)  # fmt: skip
WORDS = (
    "", "gpu1", "gpu[1:3]", "gpu[9:1]", "gpu[a:3]", "-gpu", "node", "[node]", "[node:vars]", "[node:children]", "[all:vars]", "[",
    "]", "=", " = ", ":", "::", ",", ";", "#", "'", '"', "\\", "{{ x }}", "{{", "{% if %}", "{{ lookup('file', 'x') }}", "---",
    "- a", "a: b", "\t", "\n", "\r\n", "&x", "*x", "!vault", "!x", "|", ">", "%", "@", "`", "~", "~[", "null", "yes", "0", "-1",
    "1e999", "nan", "inf", "0x1f", "99999999999999999999", "2026-01-01", "ä", "\u200b", "\u202e", "\ufeff", "\x1b[31m", "\0",
    "\ue0ff", "\U0001f600", "../x", "/", "/dev/null", "a b", "$ANSIBLE_VAULT;1.1;AES256", "6162", "192.0.2.11", "2001:db8::1",
    "ansible_host=192.0.2.11", "ansible_port=x", "ansible_connection=nosuch", "ansible_user=", "deepgram_release=release-260812",
    "deepgram_engines", "deepgram_models_links", "deepgram_api_port", "nginx_proxy_port", "x" * 5000, "all", "ungrouped",
)  # fmt: skip
FILES = (
    "inventory.ini", "inventory.ini", "group_vars/all/main.yml", "group_vars/all/vault.yml", "group_vars/all/zz.yml",
    "host_vars/gpu1.yml", "group_vars/node/x.yml",
)  # fmt: skip
YAML_INVENTORY = "node:\n  hosts:\n    gpu1:\n      ansible_host: 192.0.2.11\n  vars:\n    ansible_user: ops\n"


def mutated(text: str, chance: random.Random) -> str:
    """A text with some of its pieces removed, doubled, replaced or moved."""
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 0, 1, 2, 10, 60)))
        middle = chance.choice((chance.choice(WORDS), text[start:end] * 2, "", chance.choice(WORDS) + "\n"))
        text = text[:start] + middle + text[end:]
    return text


def tree(chance: random.Random, depth: int = 0) -> object:
    """Some value of YAML."""
    if depth > 4 or chance.random() < 0.5:
        return chance.choice((*WORDS, None, True, 0, -1, 3.5, float("nan"), 10**30))
    if chance.random() < 0.5:
        return [tree(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(WORDS): tree(chance, depth + 1) for _ in range(chance.randrange(4))}


def some(chance: random.Random, names: list[str], known: list[Row]) -> Row:
    """A row that nobody wrote: the base, or a row of the corpus, with something else in it."""
    files = dict(BASE)
    before = chance.choice(known)
    if before.inventory and chance.random() < 0.5:
        files["inventory.ini"] = before.inventory
    inventory = "inventory.ini"
    if chance.random() < 0.15:
        inventory, files["hosts.yml"] = "hosts.yml", mutated(YAML_INVENTORY, chance)
    for _ in range(chance.choice((0, 1, 1, 2))):
        name = chance.choice(FILES)
        files[name] = mutated(files.get(name, "mine: x\n"), chance)
    if chance.random() < 0.4:
        values = {chance.choice(names): tree(chance) for _ in range(chance.choice((1, 1, 2)))}
        files["group_vars/all/yy.yml"] = yaml.safe_dump(values, allow_unicode=True)
    words = [chance.choice(VERBS) if chance.random() < 0.3 else "validate", inventory]
    while chance.random() < 0.3:
        words += [chance.choice(OPTIONS), *([chance.choice(WORDS).replace("\0", "")] if chance.random() < 0.7 else [])]
    if words[0] != "validate":  # no try may reach a server, or wait for one
        files["group_vars/all/zzz.yml"] = "deepgram_release: none\n"
    vault = "group_vars/all/vault.yml"
    is_open = not files.get(vault, "").startswith("$ANSIBLE_VAULT")  # a row's or a mutation's may look encrypted
    encrypt = {vault: "default@right"} if chance.random() < 0.1 and is_open else {}
    return Row("fuzz", "", exit=0, files=files, run=words, encrypt=encrypt)


def tried(row: Row) -> str:
    """How a try went wrong; empty for a try that ended as it should."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    try:
        prepare(row, folder)
        done = run(row, folder)
    except UnicodeEncodeError:  # a text that no file can hold: not what a user can write
        return ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return done.text if done.code == 1 or "Traceback" in done.text or "\x1b" in done.text else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/fuzz", description=__doc__)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--first", type=int, default=0, help="begin with this try of the seed")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    from dgctl import content
    from dgctl.content import specs

    names = [*sorted(specs.options(content.root())), "ansible_host", "ansible_port", "mine"]
    known = [row for row in rows() if not row.shell]
    failed, started = 0, time.monotonic()
    print(f"seed {arguments.seed}, {arguments.tries} tries", flush=True)
    for number in range(arguments.first, arguments.first + arguments.tries):
        row = some(random.Random(f"{arguments.seed}-{number}"), names, known)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            wrong = tried(row)
        if wrong:
            failed += 1
            changed = {name: text for name, text in row.files.items() if BASE.get(name) != text}
            print(f"try {number}: dgctl {row.run}\n{changed!r:.600}\n{wrong:.2000}", flush=True)
    seconds = time.monotonic() - started
    print(f"{arguments.tries} tries, {failed} of them wrong, {arguments.tries / max(seconds, 0.001):.1f} a second")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
