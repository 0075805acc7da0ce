"""Names of variables: Ansible takes a misspelt one in silence, so an unknown one is an error."""

from __future__ import annotations

from collections.abc import Iterator

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.names import alike, common_names, is_ansible, nearest
from dgctl.content import specs
from dgctl.deployment import vault_secrets
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context


def problems(context: Context) -> Iterator[Problem]:
    roles = specs.role_names(content.root())
    judged: dict[str, tuple[str, str] | None] = {}
    reported: set[tuple[int, int]] = set()
    for host in context.deployment.hosts.values():
        for name, value in host.written.items():
            if name not in judged:
                judged[name] = _verdict(name, context, roles)
            if judged[name] and (id(name), id(value)) not in reported:  # of a file that a thousand hosts share, once
                what, fix = judged[name]
                problem = context.problem(host, name, what, fix, name)
                reported |= {(id(name), id(value))} if problem.where != host.name else set()
                yield problem
        yield from _unrendered(context, host)


def _verdict(name: str, context: Context, roles: list[str]) -> tuple[str, str] | None:
    """(what, fix) for a name that means nothing, None for one that does or that is the user's own."""
    # Most inventories have no other ones, and to read the documentation of Ansible's plugins takes a while.
    if name in context.options or name in common_names() or is_ansible(name, context.ansible) or not name.isascii():
        return None  # the last is the business of spelling.py
    if name.startswith("ansible_"):
        return "Ansible knows no variable of this name", _suggest(name, context.ansible)
    role = next((role for role in roles if name.startswith(f"{role}_")), "")
    if role:
        own = [known for known in context.options if known.startswith(f"{role}_")]
        return f"the role {role} has no variable of this name", _suggest(name, own or context.options)
    internal = next(
        (role for role in roles if name.lstrip("_").startswith(f"{role}_") and name != name.lstrip("_")), ""
    )
    if internal:
        return f"variables that begin with _ are internal to the role {internal}", "remove it"
    slip = alike(name, [*context.options, *context.ansible])
    return ("no variable has this name", f"did you mean {slip}?") if slip else None


def _suggest(name: str, known: object) -> str:
    near = nearest(name, known)
    return f"did you mean {near}?" if near else "remove it, or give your own variable a prefix of its own"


def _unrendered(context: Context, host: Host) -> Iterator[Problem]:
    """Values that no server can make sense of: an undefined name, broken syntax, a vault that stays shut."""
    for name, why in host.unrendered.items():
        if name not in context.options and not is_ansible(name, context.ansible):
            continue  # the user's own, perhaps for other playbooks
        value = host.written[name]
        if type(value).__name__ == "EncryptedString":
            problem = vault_secrets.shut_value(value, "")
            yield context.problem(host, name, f"{name} cannot be decrypted: {problem.what}", problem.fix)
        elif "ansible_facts" not in why and "ansible_facts" not in str(value):
            yield context.problem(host, name, f"the template of {name} fails: {why}", "correct the template", value)
