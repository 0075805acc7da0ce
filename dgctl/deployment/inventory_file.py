"""What kind of file an inventory is, before Ansible reads it; refuses what Ansible would misread, or wait for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dgctl.base.display import printable
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.names import nearest

YAML_NAMES = (".yml", ".yaml", ".json")
INI_NAMES = (".ini", ".cfg", "")
_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_EMPTY = ("the inventory is empty", "name at least one server under [node]: gpu1 ansible_host=ADDRESS")


def is_script(path: Path, text: bytes) -> bool:
    """Whether Ansible runs the file. One that is meant as INI or YAML, and may be run by mistake, it reads after all."""
    return os.access(path, os.X_OK) and (text.startswith(b"#!") or path.suffix not in (*YAML_NAMES, *INI_NAMES))


def kind(path: Path, text: bytes) -> str:
    """The Ansible plugin whose word counts: script, auto (it names a plugin of its own), yaml or ini."""
    if is_script(path, text):
        return "script"
    if path.suffix not in YAML_NAMES:
        return "ini"
    return "auto" if any(line.startswith(b"plugin:") for line in text.splitlines()) else "yaml"


def require_usable(path: Path) -> None:
    """Raises DgctlError (exit 3) for what is no inventory file that can be read."""
    try:
        reported = _special(path) or _text(path, path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reported = _unreadable(path, error)
    if reported:
        what, fix, *line = reported
        place = f"{shown(path)}:{line[0]}" if line else shown(path)
        raise DgctlError(Problem(what, where=place, fix=fix), Exit.INVALID)


def _unreadable(path: Path, error: Exception) -> tuple[str, str]:
    if isinstance(error, PermissionError):
        closed = next((each for each in reversed(path.absolute().parents) if not os.access(each, os.X_OK)), None)
        what = f"chmod u+x {shown(closed)}" if closed else f"chmod u+r {shown(path)}"
        return "the inventory cannot be read", f"give yourself permission: {what}"
    if isinstance(error, FileNotFoundError):
        return "the inventory does not exist", _other_name(path)
    return f"the inventory cannot be read: {getattr(error, 'strerror', error)}", "give the path of the inventory file"


def _other_name(path: Path) -> str:
    if path.is_symlink():
        return f"it is a link to {os.readlink(path)}, which is not there: correct the link"
    if "," in path.name:
        return "a list of servers is no inventory: write them into a file, a line each under [node]"
    near = nearest(path.name, (each.name for each in path.parent.glob("*") if each.is_file()))
    if near:
        return f"did you mean {shown(path.parent / near)}?"
    return f"check the path, or write one: dgctl init {shown(path.parent)}"


def _special(path: Path) -> tuple[str, str] | None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        names = sorted(each for each in path.iterdir() if each.is_file() and each.suffix in (".ini", *YAML_NAMES))
        names = names or [path / "inventory.ini"]
        files = " or ".join(shown(each) for each in names[:3])
        return "the inventory is a directory, and dgctl reads and edits one file", f"name the file in it: {files}"
    if not stat.S_ISREG(mode):
        return "the inventory is no regular file, and is read more than once", "write it into a file, and name that"
    return None


def _text(path: Path, text: bytes) -> tuple | None:
    for mark, encoding in _MARKS.items():
        if text.startswith(mark):
            without = (
                "sed -i '1s/^\\xEF\\xBB\\xBF//' {0}" if encoding == "UTF-8" else "iconv -f UTF-16 -t UTF-8 {0} >{0}.new"
            )
            if encoding == "UTF-8" and path.suffix in YAML_NAMES:
                return None  # YAML allows it
            return "the inventory begins with a byte order mark", "remove it: " + without.format(shown(path)), 1
    if text.startswith(b"#!"):
        return _script(path, text)
    return _EMPTY if not text.strip() else odd_line(path, text)


def _script(path: Path, text: bytes) -> tuple | None:
    first = text[2:].split(b"\n", 1)[0]
    if first.endswith(b"\r"):
        return "the script's first line ends with a carriage return", f"sed -i 's/\\r$//' {shown(path)}", 1
    words = first.split()
    if words and not os.path.exists(words[0]):
        name = printable(words[0].decode(errors="replace"))
        return f"the inventory is a script, and its interpreter {name} is not there", "correct its first line", 1
    if not os.access(path, os.X_OK):
        return "the inventory is a script that may not be run", f"chmod +x {shown(path)}"
    return None


def odd_line(path: Path, text: bytes) -> tuple | None:
    """(what, fix, line) of a line that is no UTF-8 text, or None; in an INI file a comment may be anything."""
    if b"\0" in text:  # before any line: what is packed may have a line's end anywhere
        number = text[: text.index(b"\0")].count(b"\n") + 1
        return "it is no text", "give a file of text; inventories/example shows the form", number
    for number, line in enumerate(text.split(b"\n"), 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            if not line.lstrip().startswith((b"#", b";")) or path.suffix in YAML_NAMES:
                fix = "write it as UTF-8: iconv -f ISO-8859-1 -t UTF-8 {0} >{0}.new".format(shown(path))
                return "this line is not UTF-8", fix, number
    return None
