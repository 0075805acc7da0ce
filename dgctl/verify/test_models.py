"""The models: every wanted file is there whole, and the Engine has loaded it."""

import pytest
from testinfra.host import Host

from dgctl.verify import models
from dgctl.verify.ask import Answer, ask

pytestmark = pytest.mark.groups("node", "engine")


@pytest.fixture(scope="module")
def disk(host: Host, wanted) -> dict[str, Answer]:
    folder = wanted["deepgram_models_dir"]
    sizes = f"cd {folder} && stat -c '%s %n' -- *.dg"
    return ask(host, {"sizes": sizes, "records": f"cat {folder}/.sha256.json"})


def test_files(disk, wanted, expect):
    """Each wanted file is on disk with the size and checksum that were recorded when it was downloaded."""
    sizes = {name: int(size) for size, _, name in (line.partition(" ") for line in disk["sizes"].lines)}
    records, files = disk["records"].json() or {}, wanted["models"]
    faults = {model["file"]: models.fault(model, sizes, records) for model in files}
    bad = [f"{file}: {fault}" for file, fault in faults.items() if fault]
    seen = bad or f"{len(files)} files, {sum(sizes.values()) / 1e6:.0f} MB"
    fix = "dgctl provision (it downloads what is missing or damaged)"
    expect(seen, f"{len(files)} files as recorded", fix, ok=bool(files) and not bad)


def test_loaded(service, wanted, runtime, expect):
    """Each wanted model is one that the service lists, or that the Engine says it has loaded."""
    loaded = models.listed(service.answers["models"].json()) + models.inserted(service.logs["engine"])
    files = [model["file"] for model in wanted["models"]]
    missing = [file for file in files if not any(model.serves(file) for model in loaded)]
    seen = f"not loaded: {', '.join(missing)}" if missing else files
    fix = f"{runtime.logs('engine')} | grep -i model; does the model belong to the key's project?"
    expect(seen, files, fix, ok=bool(files) and not missing)


def test_none_failed(service, containers_seen, runtime, expect):
    failed, engine = models.failed(service.logs["engine"]), containers_seen["engine"]
    fix = f"{runtime.logs('engine')} | grep 'Failed to load model'; remove the file and provision again"
    expect(failed if engine.running else engine, set(), fix, ok=engine.running and not failed)
