"""The look as dgctl sends it to a host: the sources of applied_*.py in one program, in the order of their imports."""

import json
import re

from tests.paths import PROJECT

SOURCES = PROJECT / "plugins" / "module_utils"
BOOTSTRAP = 'import sys;exec(sys.stdin.read().partition("#look\\n")[2])'
USES = re.compile(
    r"^ *from ansible\.module_utils\.(applied_\w+) import|^ {4}(applied_\w+),$|^from ansible.module_utils import (.*)$",
    re.M,
)
PROGRAM = """import sys, types
for name in ("ansible", "ansible.module_utils"):
    sys.modules[name] = types.ModuleType(name)
def load(name, source):
    module = sys.modules["ansible.module_utils." + name] = types.ModuleType("ansible.module_utils." + name)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
"""


def in_order(name, seen=None):
    """The names of a source and of all that it imports, each after those that it imports."""
    seen = [] if seen is None else seen
    text = (SOURCES / f"{name}.py").read_text()
    for match in USES.findall(text):
        for used in re.findall(r"applied_\w+", " ".join(match)):
            if used not in seen:
                in_order(used, seen)
    if name not in seen:
        seen.append(name)
    return seen


def program(request, settings=None):
    """What goes to the host's python3 on stdin. settings: {(source, constant): value} for a test's own paths."""
    lines = ["#look", PROGRAM]
    lines += [f"load({name!r}, {(SOURCES / f'{name}.py').read_text()!r})" for name in in_order("applied_look")]
    for (name, constant), value in (settings or {}).items():
        lines.append(f"sys.modules['ansible.module_utils.{name}'].{constant} = {value!r}")
    lines.append(f"sys.modules['ansible.module_utils.applied_look'].main({json.dumps(request)!r})")
    return "\n".join(lines) + "\n"
