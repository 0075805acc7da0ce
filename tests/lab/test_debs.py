"""The stand-ins for Debian 12 and Ubuntu-like servers: names as the roles ask for them, programs with a loader of their own."""

import pytest
import yaml

from lab.debs import build, private, repositories
from lab.systems import SYSTEMS
from tests import yaml_file
from tests.paths import PROJECT

PLATFORM = PROJECT / "roles/platform/vars/main"
NAMES = yaml_file.read(PLATFORM / "drivers.yml")["_platform_driver_packages"]
ROWS = yaml_file.read(PLATFORM / "systems.yml")["_platform_systems"]


def offered(branch):
    """Every package that the stand-ins have for a branch."""
    return {name for source in build.table(f"{branch}.1").values() for name in source["packages"]}


@pytest.mark.parametrize(
    ("scheme", "branch"), [("cuda_ubuntu", "580"), ("cuda_ubuntu", "595"), ("ubuntu_server", "580")]
)
def test_the_stand_ins_have_what_the_roles_ask_for(scheme, branch):
    row = next(row for row in NAMES[scheme] if row["from"] <= int(branch))
    desired = [row["lead"]["open"], *row.get("more", [])]
    desired += (
        [f"{row['modules']['open']}-{build.KERNEL}", f"{row['modules']['open']}-generic"] if "modules" in row else []
    )
    assert {name.replace("BRANCH", branch) for name in desired} <= offered(branch)
    assert not [name for name in offered(branch) if "@" in name and "@V@" not in name]


def test_docker_s_packages_are_those_of_the_table():
    assert set(ROWS["debian12"]["docker"]["docker"]) == set(build.table("580.1")["docker"]["packages"])
    assert {"docker.io", "containerd", "runc", "libc6"} <= set(repositories.carried())


@pytest.mark.parametrize("name", ["debian12", "ubuntu2404", "ubuntu2204"])
def test_a_system_of_the_lab_is_one_of_the_roles_and_reaches_them_by_public_variables(name):
    settings = yaml.safe_load(SYSTEMS[name].settings.format(fingerprint="A" * 40))
    known = set()
    for role in ("nvidia_driver", "docker", "nvidia_container_toolkit"):
        known |= set(yaml.safe_load((PROJECT / f"roles/{role}/defaults/main.yml").read_text()))
    assert name in ROWS and set(settings) <= known
    assert settings["nvidia_driver_repository_url"].endswith(f"/{name}/x86_64")


def test_a_program_is_given_another_loader_in_place(tmp_path):
    program, text = tmp_path / "program", tmp_path / "text"
    program.write_bytes(b"\x7fELF" + bytes(60) + private.USUAL_LOADER + b"the rest")
    text.write_bytes(private.USUAL_LOADER)
    before = program.stat().st_size
    private.redirect(tmp_path)
    data = program.read_bytes()
    assert private.LOADER in data and private.USUAL_LOADER not in data and data.endswith(b"the rest")
    assert len(data) == before and text.read_bytes() == private.USUAL_LOADER


def test_names_that_are_written_over_are_not_longer():
    assert len(private.LOADER) <= len(private.USUAL_LOADER) and len(private.CACHE) == len(private.USUAL_CACHE)
