"""The look as dgctl sends it to a host, with a test's own settings in its sources."""

import json

from dgctl.plan import look
from tests.paths import PROJECT

SOURCES = PROJECT / "plugins" / "module_utils"
COMMAND = ["-IS", "-c", look._BOOT]


def program(request, settings, more=""):
    """What goes to the host's python3 on stdin. settings: {(source, constant): value}; more: run after the look."""
    lines = [
        f"sys.modules['ansible.module_utils.{name}'].{key} = {value!r}\n" for (name, key), value in settings.items()
    ]
    text = look._sources(SOURCES) + "".join(lines) + look._CALL + more
    return look._START + look._line(text) + json.dumps(request)
