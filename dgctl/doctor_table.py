"""The doctor's table of checks, which lies among the modules' utilities: Ansible's own loader finds it nowhere."""

from __future__ import annotations

import functools
from typing import Any

from dgctl import content


@functools.cache
def doctor() -> Any:
    """The module utility `doctor`: its CHECKS and what is said of them."""
    import ansible.module_utils

    folder = str(content.root() / "plugins" / "module_utils")
    if folder not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(folder)
    from ansible.module_utils import doctor as found

    return found
