"""What the models directory should hold, what it holds, and the way from one to the other."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.deepgram.download import DownloadError, fetch, file_name, probe, sha256_of, shown
from ansible.module_utils.host.whole_file import sync

RECORD = ".sha256.json"
LOCK = ".lock"
PARTIAL = ".partial"
RESERVE = 100 * 1000 * 1000  # bytes left free on the disk
LOCK_WAIT = 3600  # s that another download in the same directory is waited for
MODELS = (".dg", ".dgv2")


class Models:
    """The models directory. `settings` has timeout (s), retries, parallel; `sleep` is for tests."""

    def __init__(self, directory, settings, sleep=time.sleep):
        self.directory, self.settings, self.sleep = directory, settings, sleep
        self.lock = threading.Lock()
        self.records = self._read_records()
        self.recorded = json.dumps(self.records, sort_keys=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    # The record: file name to {sha256, size, mtime_ns}

    def _read_records(self):
        try:
            with open(self.path(RECORD)) as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return (
            {name: entry for name, entry in found.items() if isinstance(entry, dict)} if isinstance(found, dict) else {}
        )

    def record(self, name, sha256, path):
        """Remembers the hash together with size and time, which tell later whether the file is still that one."""
        stat = os.stat(path)
        with self.lock:
            self.records[name] = {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            self.save_records()

    def save_records(self):
        """Writes the record if it has changed; never half of it."""
        text = json.dumps(self.records, sort_keys=True)
        if text == self.recorded:
            return
        new = self.path(RECORD + ".new")
        with open(new, "w") as file:
            json.dump(self.records, file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(new, 0o644)
        os.replace(new, self.path(RECORD))
        self.recorded = text

    # What is there

    def recognised(self, name):
        """SHA-256 from the record if the file is, by size and time, the one that was hashed; else None."""
        entry = self.records.get(name)
        try:
            stat = os.stat(self.path(name))
        except FileNotFoundError:
            return None
        same = entry and (entry.get("size"), entry.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
        return entry.get("sha256") if same else None

    def expected(self, item):
        """The SHA-256 that a file must have: the link's, that of other servers, or that of its first download here."""
        return item["wanted"] or item["pinned"] or (self.records.get(item["name"]) or {}).get("sha256")

    def examine(self, item, check_mode):
        """Sets item.state: present, adopted (right, but not in the record) or missing. Hashes only in doubt."""
        known = self.recognised(item["name"])
        desired = self.expected(item)
        item["state"] = "missing"
        if not os.path.exists(self.path(item["name"])):
            return
        if known:
            item.update(state="present" if known == (desired or known) else "missing", sha256=known)
            return
        if not desired and os.path.getsize(self.path(item["name"])) != self.ask(item).total:
            return
        found = sha256_of(self.path(item["name"])).hexdigest()
        if desired in (None, "", found):
            item.update(state="adopted", sha256=found)
            if not check_mode:
                self.record(item["name"], found, self.path(item["name"]))

    def ask(self, item):
        """What the server says about the file; asked once."""
        if "remote" not in item:
            item["remote"] = probe(item["url"], self.settings["timeout"], self.settings["retries"], self.sleep)
        return item["remote"]

    def lacking(self, items):
        """Bytes that the missing files will need on the disk, less what has arrived of them earlier."""
        total = 0
        for item in items:
            size = self.ask(item).total or 0
            item["size"] = size
            partial = self.path(item["name"] + PARTIAL)
            total += max(0, size - (os.path.getsize(partial) if os.path.exists(partial) else 0))
        return total

    def free(self):
        """Bytes free where the directory is, or would be."""
        directory = os.path.abspath(self.directory)
        while not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        stat = os.statvfs(directory)
        return stat.f_bavail * stat.f_frsize

    # What is done

    def download(self, item):
        """Fetches one file, compares, records, renames into place."""
        partial = self.path(item["name"] + PARTIAL)
        expected = self.expected(item)
        fetched = self._fetch(item, partial)
        if expected and fetched.sha256 != expected and fetched.resumed:
            # What an earlier run left may be the bad part: once more, from the beginning.
            discard(partial)
            fetched = self._fetch(item, partial)
        if expected and fetched.sha256 != expected:
            discard(partial)
            raise wrong_checksum(item, fetched.sha256, expected)
        os.chmod(partial, 0o644)
        # The record first: a run killed between the two finds the whole file in .partial and only renames it.
        self.record(item["name"], fetched.sha256, partial)
        os.replace(partial, self.path(item["name"]))
        discard(partial)
        sync(self.directory)
        item.update(state="downloaded", sha256=fetched.sha256, size=fetched.size, downloaded=fetched.downloaded)

    def _fetch(self, item, partial):
        return fetch(item["url"], partial, self.settings["timeout"], self.settings["retries"], self.sleep)

    def download_all(self, items):
        """Downloads in parallel. Every file gets its chance; returns the DownloadErrors."""

        def attempt(item):
            try:
                self.download(item)
            except DownloadError as error:
                item["state"] = "failed"
                return error
            return None

        with ThreadPoolExecutor(self.settings["parallel"]) as pool:
            return [error for error in pool.map(attempt, items) if error]

    def unlisted(self, names):
        """Model files and left-over parts that no link names."""
        if not os.path.isdir(self.directory):
            return []
        parts = tuple(model + end for model in MODELS for end in (PARTIAL, PARTIAL + ".json"))
        return sorted(
            name
            for name in os.listdir(self.directory)
            if name.endswith(MODELS + parts) and name.partition(PARTIAL)[0] not in names
        )

    def remove(self, names):
        for name in names:
            os.unlink(self.path(name))
            self.records.pop(name, None)
        self.save_records()


def desired_files(links, pins):
    """Work items from links ({url, sha256}) and pins {name: sha256}; raises DownloadError on a link that cannot be meant."""
    items = [
        {"name": file_name(link["url"]), "url": link["url"], "wanted": link["sha256"], "downloaded": 0}
        for link in links
    ]
    for item in items:
        item["pinned"] = pins.get(item["name"], "")
    for name, times in Counter(item["name"] for item in items).items():
        if times > 1:
            raise DownloadError(f"{times} model links lead to a file called {name}", "keep one of them")
    for item in items:
        if item["wanted"] and (len(item["wanted"]) != 64 or set(item["wanted"]) - set("0123456789abcdef")):
            raise DownloadError(
                f"the sha256 given for {item['name']} is not a SHA-256 sum: {item['wanted']}",
                "write its 64 hexadecimal digits, or leave sha256 out",
            )
    return items


def wrong_checksum(item, seen, expected):
    """The error that names both sums, and who expected the other one."""
    what = f"{item['name']} from {shown(item['url'])} has the wrong checksum: SHA-256 is {seen}, expected {expected}"
    if item["wanted"]:
        return DownloadError(what, "correct sha256 in deepgram_models_links, or get a fresh link if the file is wrong")
    whose = (
        "as other servers have it (models.lock beside the inventory)" if item["pinned"] else "as at its first download"
    )
    return DownloadError(f"{what} {whose}", "if the new file is meant, give its sha256 in deepgram_models_links")


def discard(partial):
    for path in (partial, partial + ".json"):
        if os.path.exists(path):
            os.unlink(path)


def lock(directory, wait=LOCK_WAIT, sleep=time.sleep):
    """File that stays locked while open: a run whose controller died may still be downloading here."""
    file = open(os.path.join(directory, LOCK), "w")  # noqa: SIM115 - the caller keeps it open
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= end:
                raise DownloadError(
                    f"another process has been downloading into {directory} for more than {wait} s",
                    f"find it with `fuser {os.path.join(directory, LOCK)}` on the server; end it or wait for it",
                ) from None
            sleep(2)
