"""Variables through Ansible's templates, when somebody asks for them; what hosts have in common is rendered once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.template import Templar, is_trusted_as_template

from dgctl.deployment import compiled
from dgctl.deployment.inventory import quiet
from dgctl.deployment.references import Reading, References
from dgctl.deployment.template_reason import loop, reason

# What Ansible adds to the variables of every host; nobody wrote these.
ADDED = {
    *("ansible_facts", "ansible_version", "ansible_playbook_python", "ansible_config_file", "playbook_dir"),
    *("group_names", "groups", "hostvars", "inventory_dir", "inventory_file"),
    *("inventory_hostname", "inventory_hostname_short", "omit"),
    *("ansible_check_mode", "ansible_diff_mode", "ansible_forks", "ansible_inventory_sources", "ansible_limit"),
    *("ansible_run_tags", "ansible_skip_tags", "ansible_verbosity", "ansible_local"),
}
_FACTS = "ansible_facts"  # nobody has asked the servers: a template that needs them fails
_OTHERS = "hostvars"
_PROGRAMS: dict[Any, Any] = {}  # compiled templates: most are the roles' defaults, the same for each deployment read


class Values(Mapping[str, Any]):
    """One host's variables, rendered and plain. `lost`: name -> why, of those asked for whose template fails."""

    def __init__(self, rendering: Rendering, own: dict[str, Any]):
        self._rendering, self._own = rendering, own
        self._rendered: dict[str, Any] = {}
        self.lost: dict[str, str] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._rendered:
            if name in ADDED:
                raise KeyError(name)
            value, why = self._rendering.of(name, self._own)
            self._rendered[name] = value
            if why is not None:
                self.lost[name] = why
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        defaults = self._rendering.defaults
        yield from (name for name in defaults if name not in ADDED)
        yield from (name for name in self._own if name not in defaults and name not in ADDED)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None  # a ChainMap asks it often, and counting takes long

    def __contains__(self, name: object) -> bool:
        return name not in ADDED and (name in self._own or name in self._rendering.defaults)


class Rendering:
    """Renders the variables of a deployment's hosts.

    `defaults`: the roles'. `known`: names that a role knows; of others only connections' are rendered: what a user's own
    one looks up is run only where a known one uses it. `hosts`: what the inventory says of each, as Ansible read it.
    """

    def __init__(self, reader: Any, defaults: dict[str, Any], known: set[str], hosts: list[dict[str, Any]]):
        self.defaults, self._known, self._hosts = defaults, known, hosts
        self._templar = Templar(loader=reader)
        self._references = References()
        self._identities = _Identities()
        self._shared: dict[Hashable, tuple[Any, str | None]] = {}
        self._plain: dict[int, tuple[Any, Any]] = {}
        self._constants: dict[str, Any] = {}  # defaults that are no templates
        self._others_are_steady: bool | None = None
        self._one_at_a_time = threading.RLock()

    def of(self, name: str, own: dict[str, Any]) -> tuple[Any, str | None]:
        """(plain value, why it has none) of a variable of the host with these; KeyError for one that it has not."""
        if name in self._constants and name not in own:
            return self._constants[name], None
        value = own[name] if name in own else self.defaults[name]
        with self._one_at_a_time:
            reading = self._references.of(value)
            if not reading.template or (name not in self._known and not name.startswith("ansible_")):
                written = self._as_written(value)
                if name not in own:
                    self._constants[name] = written
                return written, None
            seen = self._seen(reading, own)
            if seen is None:
                return self._rendered(name, value, {**self.defaults, **own})
            key = (
                name,
                self._identities.of(value),
                *((each, self._identities.of(seen[each])) for each in sorted(seen)),
            )
            if key not in self._shared:
                self._shared[key] = self._rendered(name, value, seen)
            return self._shared[key]

    def _seen(self, reading: Reading, own: dict[str, Any]) -> dict[str, Any] | None:
        """All variables that a template comes to, those of its variables too; None where more than they count."""
        seen: dict[str, Any] = {}
        todo, met = [reading], set()
        while todo:
            reading = todo.pop()
            if not reading.steady:
                return None
            for name in reading.names - met:
                met.add(name)
                if name == _OTHERS and not self._steady_others():
                    return None
                if name != _FACTS and (name in own or name in self.defaults):
                    seen[name] = own[name] if name in own else self.defaults[name]
                    todo.append(self._references.of(seen[name]))
        return seen

    def _steady_others(self) -> bool:
        """Whether `hostvars` says the same to every host at any time, lookups being the exception."""
        if self._others_are_steady is None:
            values = {id(value): value for host in self._hosts for value in host.values()}
            self._others_are_steady = all(self._references.of(value).steady for value in values.values())
        return self._others_are_steady

    def _rendered(self, name: str, value: Any, variables: dict[str, Any]) -> tuple[Any, str | None]:
        self._templar.available_variables = {key: each for key, each in variables.items() if key != _FACTS}
        patience = _Patience(name, value, variables, self._references)
        try:
            with quiet(), compiled.once(_PROGRAMS, patience.before):
                return plain(self._templar.template(value)), None
        except (AnsibleError, ValueError, TypeError, RuntimeError, _TooDeep) as error:
            retained = plain(value) if isinstance(value, (str, list, dict)) else None
            return retained, patience.why or reason(error, name, {name: value, **variables})

    def _as_written(self, value: Any) -> Any:
        """The plain value; of a list or mapping that hosts share, one."""
        if not isinstance(value, (dict, list)):
            return plain(value)
        if id(value) not in self._plain:
            self._plain[id(value)] = (value, plain(value))
        return self._plain[id(value)][1]


class _TooDeep(BaseException):
    """No Exception: Ansible keeps those in the value and goes on, exponentially long in a ring that leads back twice."""


class _Patience:
    """Ends a rendering whose variables come back to themselves, or stand in more of each other than Python's stack holds."""

    DEEP = 400  # frames from which a ring is looked for: about 40 templates within each other
    LEFT = 150  # frames that stay free: where Python's stack ends within Ansible's own handling of an error, it takes minutes
    EACH = 4  # templates from one look at the stack to the next

    def __init__(self, name: str, value: Any, variables: dict[str, Any], references: References):
        self._name, self._value, self._variables, self._references = name, value, variables, references
        self._count, self._floor, self.why = 0, _depth(), ""

    def before(self) -> None:
        """Raises _TooDeep, with what to say in `why`."""
        self._count += 1
        if self._count % self.EACH or (depth := _depth()) < self._floor + self.DEEP:
            return
        variables = {**self._variables, self._name: self._value}
        self.why = loop(self._name, variables, lambda value: self._references.of(value).names)
        if not self.why and depth > sys.getrecursionlimit() - self.LEFT:
            self.why = reason(RecursionError(), self._name, variables)
        if self.why:
            raise _TooDeep


def _depth() -> int:
    """Frames on the stack."""
    frame, count = sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]
        count += 1
    return count


class _Identities:
    """Hashable keys of values: equal for two that templates make the same of."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Hashable]] = {}  # with the value: as long as it lives, its id is its own
        self._numbers: dict[Hashable, int] = {}

    def of(self, value: Any) -> Hashable:
        if isinstance(value, str):
            return str(value), is_trusted_as_template(value)
        if value is None or isinstance(value, (bool, int, float)):
            return type(value).__name__, value
        if id(value) not in self._known:
            self._known[id(value)] = (value, self._number(self._inside(value)))
        return self._known[id(value)][1]

    def _inside(self, value: Any) -> Hashable:
        if isinstance(value, dict):
            return "dict", tuple((self.of(key), self.of(item)) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return type(value).__name__, tuple(map(self.of, value))
        return "object", id(value)

    def _number(self, inside: Hashable) -> int:
        return self._numbers.setdefault(inside, len(self._numbers))


def plain(value: Any) -> Any:
    """A value without the tags that ansible-core hangs on it; equal texts of a thousand hosts are one."""
    if isinstance(value, dict):
        return {sys.intern(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else sys.intern(str(value))
