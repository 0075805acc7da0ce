"""The models: every wanted file is there whole, and the Engine has loaded it."""

import pytest
from testinfra.host import Host

from dgctl.verify import models
from dgctl.verify.ask import Answer, ask
from dgctl.verify.desired import speech_models
from dgctl.verify.expect import text

GROUPS = ("engine",)


@pytest.fixture(scope="module")
def disk(host: Host, desired) -> dict[str, Answer]:
    folder = desired["deepgram_models_dir"]
    return ask(host, {"sizes": models.list_files(folder), "records": f"cat {folder}/.sha256.json"})


@pytest.fixture(scope="module")
def sizes(disk) -> dict[str, int]:
    """Model file -> bytes on disk."""
    return models.read_sizes(disk["sizes"].lines)


def test_files(disk, sizes, desired, expect):
    """Each wanted file is on disk with the size and checksum recorded at its download, which is that of all servers."""
    records, files, locked = disk["records"].json() or {}, desired["models"], desired["models_locked"]
    faults = {model["file"]: models.fault(model, sizes, records, locked.get(model["file"], "")) for model in files}
    bad = [f"{file}: {fault}" for file, fault in faults.items() if fault]
    seen = bad or f"{len(files)} files, {sum(sizes.values()) / 1e6:.0f} MB"
    differs = any("models.lock" in fault for fault in faults.values())
    fix = f"dgctl provision{' --full' if differs else ''} (it downloads what is missing or damaged)"
    expect(seen, f"{len(files)} files as recorded", fix, ok=bool(files) and not bad)


def test_loaded(service, sizes, desired, runtime, parts, expect):
    """Each wanted model is one that the service lists.

    Releases before 260630 do not list helper models. For them the Engine's log counts, if the file is still there
    and was not refused later. So it does for every model of an Engine without an API beside it.
    """
    inserted, refused = models.logged(service.logs["engine"])
    listed = models.listed(service.answers["models"].json()) if "api" in parts else []
    if "api" not in parts and not service.logs["engine"]:
        pytest.skip("the Engine's log no longer holds its start, and no API runs beside it")
    files = [model["file"] for model in desired["models"]]
    reported = [file for file in files if "api" not in parts or not speech_models([file])]
    helpers = [file for file in reported if file in sizes and file not in refused]
    missing = [
        file
        for file in files
        if not any(model.serves(file) for model in (listed + inserted if file in helpers else listed))
    ]
    seen = f"not loaded: {', '.join(missing)}" if missing else files
    unread = models.diagnose(service.logs["engine"], ["models unreadable"])
    fix = f"{runtime.logs('engine')} | grep -i model; does the model belong to the key's project?"
    expect(seen, files, unread.remediation if unread else fix, ok=bool(files) and not missing)


def test_none_refused(service, sizes, desired, containers_seen, runtime, expect):
    """No file on disk is one that the Engine could not load. A format may leave the file's name out."""
    refused = {
        file: line for file, line in models.logged(service.logs["engine"])[1].items() if file in sizes or not file
    }
    engine = containers_seen["engine"]
    paths = [f"; rm {desired['deepgram_models_dir']}/{file}" for file in sorted(refused) if file]
    again = f"; {runtime.recreate('engine')}" if "" in refused else ""
    why = sorted({models.diagnose([line]).meaning for line in refused.values()})
    fix = f"{runtime.logs('engine')}{''.join(paths)}{again}; dgctl provision{f' ({text(why)})' if why else ''}"
    seen = {file or "a file that the log does not name" for file in refused}
    expect(seen if engine.running else engine, set(), fix, ok=engine.running and not refused)
