"""Other systems than the story's: refused where the tables say so, provisioned, verified, and right at the second look."""

import pytest

from lab.machine import OLD_PYTHON
from lab.servers import has_old_python
from lab.systems import SYSTEMS
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up
from tests.scenarios.support.stories import EVERYTHING, with_all
from tests.scenarios.support.systems import LEADS, WAYS, Way

pytestmark = with_all
CHOSEN = WAYS if EVERYTHING else WAYS[:1]
# What is asked for and is not there on a system: settings, the check that refuses, and words of what it says.
REFUSED = {
    "ubuntu2404": [({"nvidia_driver_branch": "620", "nvidia_driver_source": "nvidia"}, "driver source", '"615"')],
    "ubuntu2204": [({"deepgram_container_engine": "podman"}, "container engine", "Quadlet")],
    "debian12": [
        ({"deepgram_container_engine": "podman"}, "container engine", "deepgram_container_engine to docker"),
        ({"docker_source": "distribution"}, "container engine", "docker_source to docker"),
    ],
}


@pytest.fixture(scope="module", params=CHOSEN, ids="-".join)
def lab(request) -> tuple[Way, Deployment, Server]:
    way = request.param
    folder = PROJECT / ".cache/scenarios" / "-".join(way)
    name = "".join(way)  # stories run two at a time: each its own servers
    lab_down(name)
    deployment, servers = lab_up(name, folder, f"--system={way.system}", f"--engine={way.engine}")
    desired = f"nvidia_driver_source: {way.source}\nnvidia_driver_branch: '{way.branch}'\n"
    # The lab's inventory names a mirror of NVIDIA's repository: the distribution's driver has none.
    mirror = 'nvidia_driver_repository_url: ""\n' if way.source == "distribution" else ""
    (folder / "group_vars/all/yy_way.yml").write_text(desired + mirror)
    yield way, deployment, servers[0]
    lab_down(name)


@pytest.fixture
def way(lab) -> Way:
    return lab[0]


@pytest.fixture
def deployment(lab) -> Deployment:
    return lab[1]


@pytest.fixture
def server(lab) -> Server:
    return lab[2]


def test_what_the_tables_do_not_have_is_refused_with_what_works(way, deployment, server, tmp_path):
    for number, (settings, check, words) in enumerate(REFUSED[way.system]):
        run = deployment.variant(tmp_path / str(number), **settings).dgctl("preflight")
        assert run.exit_code == 4, run.stderr
        (found,) = [one for one in run.document["checks"] if one["verdict"] == "fail" and one["check"].endswith(check)]
        assert words in found["seen"] + found["fix"], found
    assert not server.has("/etc/apt/keyrings/nvidia-driver.gpg")


def test_modules_run_on_a_python_as_old_as_the_system_s(way, deployment, server):
    """3.9 for Ubuntu 22.04, whose own is 3.10: see docs/lab.md."""
    assert (deployment.python_of_modules() == OLD_PYTHON) == has_old_python(SYSTEMS[way.system])


def test_check_mode_passes_on_a_blank_host(way, deployment, server):
    run = deployment.dgctl("provision", "--yes", "--check")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_provision_and_verify(way, deployment, server):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    reported = server.sh("nvidia-smi --query-gpu=driver_version --format=csv,noheader")
    assert reported.startswith(way.branch + ".")
    assert deployment.dgctl("doctor").failed_checks() == set()


def test_packages_are_those_of_the_source_and_held(way, deployment, server):
    lead = LEADS[way.system, way.source, way.branch]
    held = server.sh("apt-mark showhold").split()
    assert lead in held and "nvidia-container-toolkit" in held
    installed = server.sh("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").splitlines()
    assert ("docker-ce installed" in installed) == (way.engine == "docker")
    if way.source == "distribution":
        kernel = server.sh("uname -r").strip()
        modules = f"linux-modules-nvidia-{way.branch}-server-open"
        assert {f"{modules}-{kernel}", f"{modules}-generic", "linux-image-generic"} <= set(held)
        assert not server.has("/etc/apt/sources.list.d/nvidia-driver.sources")


def test_an_upgrade_leaves_the_driver_alone(way, deployment, server):
    before = server.sh("cat /sys/module/nvidia/version; dpkg-query -W '*nvidia*'")
    server.sh("apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get -y upgrade")
    assert server.sh("cat /sys/module/nvidia/version; dpkg-query -W '*nvidia*'") == before


def test_the_second_run_changes_nothing(way, deployment, server):
    assert deployment.dgctl("plan").exit_code == 0
    run = deployment.dgctl("provision", "--yes", "--full")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert run.document["hosts"][server.name] == {"state": "ok", "changed": 0, "errors": []}
