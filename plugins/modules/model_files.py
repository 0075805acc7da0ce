#!/usr/bin/python
"""Downloads model files into a directory and keeps them right."""

from __future__ import annotations

DOCUMENTATION = """
module: model_files
short_description: Downloads Deepgram model files and keeps them right
description:
  - Checks the free space for everything that is missing before the first byte is fetched.
  - Downloads beside the target, resumes, compares or records the SHA-256, then renames into place.
  - A file whose size or time differs from the record is hashed again, and fetched again when it is another one.
  - The query of a link may be a signature and is never shown.
options:
  links:
    description: The files that the directory should hold.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Where the file is. Its last part is the name it gets.
        type: str
        required: true
      sha256:
        description: Its SHA-256 in hexadecimal. Without one the sum of the first download is recorded and kept to.
        type: str
        default: ""
  pins:
    description: SHA-256 by file name that other servers got. Comes after a link's own, before what was recorded here.
    type: dict
    default: {}
  dir:
    description: The directory, created when missing.
    type: path
    required: true
  prune:
    description: Whether model files that no link names are removed.
    type: bool
    default: false
  retries:
    description: Attempts in a row without progress before a download fails.
    type: int
    default: 5
  timeout_s:
    description: Seconds without a byte after which an attempt is given up.
    type: int
    default: 30
  parallel:
    description: Files downloaded at the same time.
    type: int
    default: 4
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Download the models
  model_files:
    dir: /var/lib/deepgram/models
    links:
      - url: https://models.example.com/nova-3-general.en.batch.a12b345.dg
"""
RETURN = """
files:
  description: One entry a link with name, state (present, adopted, downloaded, missing), size, sha256, downloaded.
  returned: success
  type: list
  elements: dict
pins:
  description: SHA-256 by file name, without those that a link says; not in check mode.
  returned: success
  type: dict
records:
  description: The file that remembers the sums, if there are any.
  returned: success
  type: list
  elements: str
removed:
  description: Files removed, or in check mode to be removed.
  returned: success
  type: list
  elements: str
downloaded_bytes:
  description: Bytes that came over the network.
  returned: success
  type: int
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.download import DownloadError
from ansible.module_utils.deepgram.models import RECORD, RESERVE, Models, desired_files, lock
from ansible.module_utils.host.whole_file import is_ours

SHOWN = ("name", "state", "size", "sha256", "downloaded")


def fitting(models, missing):
    """Raises DownloadError unless the disk has room for all the missing files together."""
    needed, free = models.lacking(missing), models.free()
    if needed and needed + RESERVE > free:
        raise DownloadError(
            f"the models still need {needed / 1e9:.2f} GB and {models.directory} has {free / 1e9:.2f} GB free",
            "free space there, or set deepgram_models_dir to a larger disk",
        )


def together(errors):
    """One DownloadError that says everything that went wrong."""
    fixes = list(dict.fromkeys(error.fix for error in errors))
    return DownloadError("; ".join(str(error) for error in errors), "; ".join(fixes))


def rights(models, items):
    """(path, mode) of what is there. To whom the directory and files belong that somebody else brought is theirs to say."""
    found = [(models.directory, 0o755), (models.path(RECORD), 0o644)]
    found += [(models.path(item["name"]), 0o644) for item in items]
    return [(path, mode) for path, mode in found if os.path.exists(path)]


def settle_mode(path, mode, check_mode):
    """Gives a file or directory of ours its mode; True when it had another."""
    status = os.stat(path)
    if stat.S_IMODE(status.st_mode) == mode or not is_ours(status):
        return False
    if not check_mode:
        os.chmod(path, mode)
    return True


def work(params, check_mode):
    """Does what is asked. Returns the module's result; raises DownloadError."""
    items = desired_files(params["links"], params["pins"])
    if params["prune"] and not items:
        raise DownloadError(
            "deepgram_models_prune is set and deepgram_models_links is empty: that would remove every model",
            "list the models to keep, or unset deepgram_models_prune",
        )
    settings = {"timeout": params["timeout_s"], "retries": params["retries"], "parallel": params["parallel"]}
    models = Models(params["dir"], settings)
    before = models.recorded
    for item in items:
        models.examine(item, check_mode)
    missing = [item for item in items if item["state"] == "missing"]
    fitting(models, missing)
    surplus = models.unlisted({item["name"] for item in items}) if params["prune"] else []
    if not check_mode:
        errors = models.download_all(missing)
        if errors:
            raise together(errors)
        models.remove(surplus)
    for item in items:
        if item["state"] in ("present", "adopted"):
            item["size"] = os.path.getsize(models.path(item["name"]))
    loose = [path for path, mode in rights(models, items) if settle_mode(path, mode, check_mode)]
    return {
        "changed": bool(missing or surplus or loose) or models.recorded != before,
        "files": [{key: item.get(key) for key in SHOWN} for item in items],
        "pins": {} if check_mode else {item["name"]: item["sha256"] for item in items if not item["wanted"]},
        "records": [path for path in [models.path(RECORD)] if os.path.exists(path)],
        "removed": surplus,
        "downloaded_bytes": sum(item["downloaded"] for item in items),
    }


def main():
    link = {
        "url": {"type": "str", "required": True, "no_log": True},
        "sha256": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "links": {"type": "list", "elements": "dict", "required": True, "options": link},
            "pins": {"type": "dict", "default": {}},
            "dir": {"type": "path", "required": True},
            "prune": {"type": "bool", "default": False},
            "retries": {"type": "int", "default": 5},
            "timeout_s": {"type": "int", "default": 30},
            "parallel": {"type": "int", "default": 4},
        },
        supports_check_mode=True,
    )
    created, held = False, None
    try:
        if not module.check_mode:
            created = not os.path.isdir(module.params["dir"])
            os.makedirs(module.params["dir"], mode=0o755, exist_ok=True)
            held = lock(module.params["dir"])
        result = work(module.params, module.check_mode)
    except DownloadError as error:
        module.fail_json(msg=f"{error}. Fix: {error.fix}.", fix=error.fix)
    except OSError as error:
        fix = "make the directory writable for root on this server, or set deepgram_models_dir to another one"
        module.fail_json(msg=f"{module.params['dir']} cannot be used: {error}. Fix: {fix}.", fix=fix)
    finally:
        if held:
            held.close()
    result["changed"] |= created
    module.exit_json(**result)


if __name__ == "__main__":
    main()
