"""What people write into inventories that Ansible refuses: what its reason means, and the line that would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from dgctl.base.locate import shown
from dgctl.base.names import nearest


@dataclass(frozen=True)
class Mistake:
    """What is wrong, what to write; `line` where the place is known only from the text, else 0."""

    what: str
    fix: str
    line: int = 0


# (Ansible's reason, the line, what is wrong - or nothing, where Ansible's reason says it -, what to do); the first where
# both fit counts. {NAMES} are groups of either pattern.
INI = (
    (r"", r"[\x00-\x08\x0b-\x1f\x7f]", "the line holds a control character", "delete the line, and type it again"),
    (r"", r"^\[[^\]]*$", "a group's name has no closing bracket", "{line}]"),
    (r"", r"^\[[^\]]*\]\s*[^#;\s]", "text behind a group's heading", "write it on a line of its own"),
    (
        r"",
        r"^(<{7}|={7}|>{7})",
        "a merge left its conflict marks",
        "keep one side, and delete the lines <<<<<<<, ======= and >>>>>>>",
    ),
    (r"", r"^//", "a comment begins with #", "write # instead of //"),
    (r"", r"\{%", "an inventory is no template", "write a line a server, or a range such as gpu[01:20]"),
    (r"", r"^<!|^<\w+>", "the file is a web page", "give the inventory itself"),
    (r"Expected key=value", r"\s;", "a comment behind a setting begins with #", "write # instead of ;"),
    (r"Expected key=value", r"^[\w.-]+\s*,", "a comma between servers", "write each server on a line of its own"),
    (
        r"Expected key=value",
        r"\s=|=\s",
        "blanks around =",
        "write NAME=VALUE without blanks; quote a value that has some",
    ),
    (
        r"Expected key=value",
        r"(^|\s)(?P<name>[a-z]\w+):\s*(?P<seen>[^\s:]+)",
        "expected key=value, got a colon",
        "{name}={seen}",
    ),
    (
        r"Expected key=value host",
        r"",
        "expected key=value behind a server's name, got a word without =",
        "write NAME=VALUE; quote a value that has blanks",
    ),
    (r"Expected key=value", r"^(?P<name>\w+)\s+(?P<seen>\S+)$", "expected key=value, got no =", "{name}={seen}"),
    (r"Expected key=value", r"", "expected key=value, got no =", "write NAME=VALUE, one a line"),
    (r"No closing quotation", r"", "No closing quotation mark", 'close the quote; a value that holds one: "it\'s"'),
    (r"No escaped character", r"", "a backslash at the end of the line", "remove it: a server is one line"),
    (
        r"substring not found|host range|invalid literal|Invalid range",
        r"",
        "this host range cannot be read",
        "write it as gpu[01:20], or gpu[a:f]: begin and end of one kind and length",
    ),
    (r"Invalid section entry: '\[\]", r"", "a group without a name", "give it a name: [node]"),
    (
        r"Invalid section entry",
        r"^\[(?P<name>[^\]]*)\]",
        "invalid section entry: this is no name of a group",
        "letters, digits and _ alone: [{better}]",
    ),
    (r"has unknown type", r"", "", "[GROUP:vars] holds settings, [GROUP:children] groups"),
    (r"recursive dependency loop", r"", "", "remove this line, or the one that puts the other group below this one"),
    (r"can't add group to itself", r"", "a group is its own child", "remove this line"),
    (r"ending in ':'", r"", "", "write the name alone, or ansible_port=PORT behind it"),
)
_UNDEFINED = re.compile(
    r"includes undefined group '?(?P<child>.+?)'?$|not valid for undefined group '?(?P<vars>.+?)'?$"
)
YAML = (
    (r"Parsed empty YAML", "it is empty", "name at least one server: node: {{hosts: {{gpu1: {{ansible_host: ADDRESS}}}}}}"),
    (r"it should be a dictionary", "its top level must be groups, each with hosts, vars or children",
     "write it as node: {{hosts: {{gpu1: {{ansible_host: ADDRESS}}}}}}"),
    (r"Invalid \"(?P<key>\w+)\" entry for \"(?P<group>.+?)\" group", "{key} of the group {group} must be a mapping",
     "end each name with a colon, and drop the dashes: `NAME:`"),
    (r"expected dictionary and got", "what stands behind a server's name must be a mapping of its variables",
     "write its address as ansible_host: ADDRESS, below its name"),
    (r"Host pattern (?P<value>.+?) must be a string", "a server's name must be text, and {value} is none",
     "quote it: \"{value}\""),
    (r"Invalid group name supplied, .* for (?P<value>.+)$", "a group's name must be text, and {value} is none",
     "quote it: \"{value}\""),
    (r"Adding group '(?P<value>.+?)' as child .* recursive dependency loop",
     "the group {value} holds the group that it is a child of, a recursive dependency loop", "remove one of the two"),
    (r"group to itself", "a group is its own child", "remove it there"),
    (r"[Tt]abs", "YAML allows no tab here", "indent with blanks"),
    (r"control characters|unacceptable character", "it holds a control character", "delete it, and type it again"),
)  # fmt: skip


def find(kind: str, path: Path, text: str, line: str, reason: str) -> Mistake | None:
    """The mistake behind Ansible's reason for refusing an inventory of this kind, or None."""
    if kind == "yaml":
        return _in_yaml(text, reason)
    if undefined := _UNDEFINED.search(reason):
        return _undefined(text, undefined["child"] or undefined["vars"], reason)
    if other := _other_form(path, text):
        return other
    for expected, shape, what, fix in INI:
        reported, seen = re.search(expected, reason), re.search(shape, line)
        if reported and seen:
            names = {**seen.groupdict(), "line": line}
            names["better"] = re.sub(r"\W+", "_", names.get("name") or "").strip("_")
            return Mistake(what or reason, fix.format_map(names))
    return None


def _other_form(path: Path, text: str) -> Mistake | None:
    """A file without a heading that begins as YAML or JSON do."""
    first = next((line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;"), "")
    if re.search(r"^\s*\[", text, re.MULTILINE) and not first.startswith("{"):
        return None
    form = "json" if first.startswith("{") else "yml" if re.match(r"---|[\w.-]+:($|\s)", first) else ""
    if not form:
        return None
    name = {"json": "JSON", "yml": "YAML"}[form]
    fix = f"rename it: mv {shown(path)} {shown(path.with_suffix('.' + form))}"
    return Mistake(f"the file is {name}, and its name says INI", fix)


def _undefined(text: str, name: str, reason: str) -> Mistake:
    groups = [group for group in re.findall(r"^\s*\[([^\]:]+)\]", text, re.MULTILINE) if group != name]
    near = nearest(name, groups)
    fix = f"did you mean {near}?" if near else f"name its servers under [{name}], or remove this line"
    return Mistake(reason, fix)


def _in_yaml(text: str, reason: str) -> Mistake | None:
    for expected, what, fix in YAML:
        if reported := re.search(expected, reason):
            names = reported.groupdict()
            return Mistake(what.format_map(names), fix.format_map(names), _yaml_line(text, names, reason))
    return None


def holding_itself(text: str) -> Mistake | None:
    """The first YAML node that an alias puts below itself."""
    try:
        # Not libyaml's: it has no bound for what is nested too deep.
        line = _own_ancestor(yaml.compose(text, Loader=yaml.SafeLoader), ())
    except (yaml.YAMLError, RecursionError):
        return None
    what = "an alias (*NAME) stands below its own anchor (&NAME)"
    return Mistake(what, "write the value itself in place of the alias", line) if line else None


def _own_ancestor(node: yaml.Node, above: tuple[int, ...]) -> int:
    if id(node) in above:
        return node.start_mark.line + 1
    below = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
    below += node.value if isinstance(node, yaml.SequenceNode) else []
    return next(filter(None, (_own_ancestor(each, (*above, id(node))) for each in below)), 0)


def _yaml_line(text: str, names: dict[str, str], reason: str) -> int:
    """The line that a reason is about, from the names in it; 0 where that is not known."""
    if position := re.search(r"position (\d+)", reason):
        return text.count("\n", 0, int(position[1])) + 1
    desired = names.get("value") or ""
    if got := re.search(r"and got: (.+)$", reason):
        desired = got[1]
    try:
        pairs = list(_pairs(yaml.compose(text, Loader=yaml.SafeLoader), set()))
    except yaml.YAMLError:
        return 0
    if "key" in names:
        pairs = [pair for pair in pairs if pair[0].value == names["group"] and isinstance(pair[1], yaml.MappingNode)]
        pairs = [inner for _, below in pairs for inner in below.value if inner[0].value == names["key"]]
        return pairs[0][0].start_mark.line + 1 if pairs else 0
    for key, below in pairs:
        if desired and desired in (key.value, below.value):
            return key.start_mark.line + 1
    return 0


def _pairs(node: yaml.Node, seen: set[int]) -> Iterable[tuple[yaml.Node, yaml.Node]]:
    """Every (key, value) below a node; an alias of what is above is not followed again."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, below in node.value:
            yield key, below
            yield from _pairs(below, seen)
    elif isinstance(node, yaml.SequenceNode):
        for below in node.value:
            yield from _pairs(below, seen)
