"""pyinfra's inventory; runs in pyinfra's own environment."""

import json
import os
from pathlib import Path

_settings = json.loads(Path(os.environ["BENCH_PEER"]).read_text())
node = [
    (
        name,
        {
            "ssh_hostname": host["address"],
            "ssh_user": _settings["user"],
            "ssh_key": _settings["key"],
            "ssh_known_hosts_file": _settings["known_hosts"],
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "_sudo": True,
        },
    )
    for name, host in _settings["hosts"].items()
]
