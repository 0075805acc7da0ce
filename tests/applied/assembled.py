"""The look as dgctl sends it to a host, with a test's own settings in its sources."""

import json

from dgctl.content import bundle
from dgctl.plan import look
from tests.paths import PROJECT

SOURCES = PROJECT / "plugins" / "module_utils"
COMMAND = ["-IS", "-c", bundle.BOOT]


def program(request, settings, more=""):
    """What goes to the host's python3 on stdin. settings: {(source, constant): value}; more: run after the look."""
    lines = [
        f"sys.modules['ansible.module_utils.{name}'].{key} = {value!r}\n" for (name, key), value in settings.items()
    ]
    text = bundle.sources(SOURCES, {look.ENTRY}) + "".join(lines) + bundle.call(look.ENTRY) + more
    return bundle.stdin(bundle.packed(text), json.dumps(request))
