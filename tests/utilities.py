"""Makes this checkout's module utilities a part of `ansible.module_utils`, as they are on a server."""

import ansible.module_utils

from tests.paths import PROJECT


def use() -> None:
    folder = str(PROJECT / "plugins" / "module_utils")
    if folder not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(folder)
