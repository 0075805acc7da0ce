"""The page of attacks, from the table that tests run against a real NGINX (tests/roles_app/proxy/attacks.py)."""

from __future__ import annotations

from tests.roles_app.proxy.attacks import GROUPS, SLOW, Attack, Http2

HEAD = """\
# Attacks

What a stranger may try at a proxy that asks for keys, and what comes of it: the table that
`tests/roles_app/proxy/test_attacks.py` sends to a real NGINX with the role's own site, {count} rows. **None of them reaches
the API**, but for the rows with "one request": of these it hears the one that the key is for, framed by NGINX, and nothing
of what is hidden in it. Unless a row says "with a key", the caller has none. "-" is a connection or a stream that is closed
without an answer.
Requests that ride in behind another's key, rotation, limits and logs: `tests/roles_app/proxy/test_callers_nginx.py`. How
callers show who they are: [callers.md](../callers.md).
"""


def page() -> str:
    """The page, a table a group."""
    parts = [HEAD.format(count=sum(map(len, GROUPS.values())) + len(SLOW))]
    for group, attacks in GROUPS.items():
        parts.append(f"\n## {group}\n\n| what is sent | answer |\n|---|---|\n")
        parts += [f"| {_name(attack)} | {_answers(attack)} |\n" for attack in attacks]
    parts.append("\n## Slow and large ones\n\n| what is sent | what comes of it |\n|---|---|\n")
    parts += [f"| {what} | {end} |\n" for what, end in SLOW]
    return "".join(parts)


def _name(attack: Attack | Http2) -> str:
    return attack.name + (", with a key" if attack.has_key else "")


def _answers(attack: Attack | Http2) -> str:
    text = ", ".join(str(one or "-") for one in attack.answers)
    return f"{text}; one request" if attack.served else text
