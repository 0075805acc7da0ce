"""The record that each role leaves on a host: what it applied there; and whether one may be believed."""

import json
import os
import time

try:  # the interpreter's own: hashlib costs the start of OpenSSL, more than all the hashing here
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

FOLDER = "/var/lib/deepgram/applied-state"
MACHINE_ID = "/etc/machine-id"
FORMAT = 1
AHEAD_S = 300  # a record may be dated so far in the future before the clock is in doubt
VERIFIED = "verified"  # what verification leaves, beside the roles' records


def read(name, host):
    """(record, "") of a role; (None, "") where there is none; (None, why) for one not to be believed."""
    try:
        with open(_path(name), encoding="utf-8") as stream:
            record = json.load(stream)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"its record cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return None, "its record is no valid JSON: it was cut off or overwritten"
    why = _doubt(record, host)
    return (None, why) if why else (record, "")


def write(name, host, **content):
    """Replaces a record at once, and has it on the disk before it returns."""
    record = {"format": FORMAT, "host": host, "machine_id": machine_id(), "at": int(time.time()), **content}
    record["sum"] = checksum(record)
    os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    os.chmod(FOLDER, 0o700)
    new = _path(name) + ".new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchmod(handle, 0o600)
        json.dump(record, stream)
        stream.flush()
        os.fsync(handle)
    os.replace(new, _path(name))
    _sync_folder()


def begin(roles, host, found):
    """Marks roles as begun and not done (None: all that have a record); what was verified counts no longer.

    found(things): what is seen at what the record has, where it is not as recorded; the role is to put it back.
    """
    if roles is None:
        roles = [name for name in names() if name != VERIFIED]
    if os.path.exists(_path(VERIFIED)):
        os.unlink(_path(VERIFIED))
        _sync_folder()
    for role in roles:
        # A record not to be believed is not signed again, but gives way to an empty one.
        known = read(role, host)[0] or {}
        retained = {key: known.get(key, {}) for key in ("desired", "things")}
        write(role, host, role=role, finished=False, found=found(retained["things"]), **retained)


def checksum(record):
    """The sum that a record of this content must carry."""
    content = {key: value for key, value in record.items() if key != "sum"}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def machine_id():
    """The installation's own number; "" when it has none."""
    try:
        with open(MACHINE_ID, encoding="ascii") as stream:
            return stream.read().strip()
    except (OSError, ValueError):
        return ""


def day(moment):
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _doubt(record, host):
    """Why a record is not to be believed; "" for one that is."""
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        return "its record names no format: it was cut off or overwritten"
    if record["format"] > FORMAT:
        return f"its record has format {record['format']}, of a newer dgctl than this, which knows {FORMAT}"
    if record.get("sum") != checksum(record):
        return "its record was changed after it was written: the sum in it does not fit"
    if record["host"] != host:
        return f"its record is of host {record['host']}"
    if not record["machine_id"] or record["machine_id"] != machine_id():
        return "its record is of another installation: the server was re-imaged, or is a copy of another one"
    if record["at"] > time.time() + AHEAD_S:
        return f"its record is dated {day(record['at'])}, in the future: the clock was moved"
    return ""


def _path(name):
    return os.path.join(FOLDER, name + ".json")


def names():
    """The roles that left a record here, and VERIFIED."""
    files = os.listdir(FOLDER) if os.path.isdir(FOLDER) else []
    return sorted(name[: -len(".json")] for name in files if name.endswith(".json"))


def _sync_folder():
    handle = os.open(FOLDER, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
