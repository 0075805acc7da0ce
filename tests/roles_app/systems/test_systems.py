"""Every line of the tables of systems, rendered: packages, repositories, what is held; and what is refused instead."""

import pytest
from ansible.module_utils.host import supported
from ansible.module_utils.preflight import support as preflight_support

from dgctl.content import roles
from tests import yaml_file
from tests.roles_app.conftest import ROOT, load
from tests.roles_app.rendering import render, value, variables

TABLES = {name: yaml_file.read(ROOT / f"roles/platform/vars/main/{name}.yml") for name in ("systems", "drivers", "cdi")}
SYSTEMS = TABLES["systems"]["_platform_systems"]
ROWS = list(SYSTEMS.values())
DEBS = [key for key, row in SYSTEMS.items() if row["packages"] == "apt"]
RPMS = [key for key, row in SYSTEMS.items() if row["packages"] == "dnf"]
DRIVERS = [
    (key, source, branch)
    for key in DEBS
    for source, row in SYSTEMS[key]["driver"].items()
    for branch in row["branches"]
]
CUDA = "https://developer.download.nvidia.com/compute/cuda/repos/"


def host(key):
    """What the roles know of a host with this system."""
    system = SYSTEMS[key]
    platform = variables("platform")
    facts = {
        "distribution": next(iter(system["distributions"].values())),
        "distribution_version": system["versions"][0],
        "distribution_major_version": system["versions"][0].split(".")[0],
        "pkg_mgr": system["packages"],
        "nvidia_host": {"kernel_module": "open", "nvswitch": ""},
    }
    return {name: value for name, value in platform.items() if name.startswith("_platform")} | {"ansible_facts": facts}


def driver(name, key, source, branch, **changes):
    return value(
        "nvidia_driver", name, **host(key), nvidia_driver_source=source, nvidia_driver_branch=branch, **changes
    )


@pytest.mark.parametrize("key", DEBS)
def test_a_host_finds_its_system(key):
    assert value("platform", "_platform_key", **host(key)) == key


def expected_lead(key, source, branch, flavour):
    """The names as NVIDIA and Ubuntu give them, written out."""
    if source == "distribution":
        return f"nvidia-headless-no-dkms-{branch}-server" + ("-open" if flavour == "open" else "")
    suffix = f"-{branch}" if key.startswith("ubuntu") and int(branch) < 590 else ""
    return {"open": "nvidia-open", "proprietary": "cuda-drivers"}[flavour] + suffix


@pytest.mark.parametrize("flavour", ["open", "proprietary"])
@pytest.mark.parametrize(("key", "source", "branch"), DRIVERS)
def test_driver_packages(key, source, branch, flavour):
    given = {"_nvidia_driver_flavour": flavour}
    lead = expected_lead(key, source, branch, flavour)
    requested = driver("_nvidia_driver_requested", key, source, branch, **given)
    first = driver("_nvidia_driver_first", key, source, branch, **given)
    modules = driver("_nvidia_driver_modules", key, source, branch, **given)
    assert driver("_nvidia_driver_package", key, source, branch, **given) == lead
    if source == "nvidia":
        assert (requested, first, modules) == (
            [f"{lead}={branch}.*"],
            [f"nvidia-driver-pinning-{branch}"] if int(branch) >= 580 else [],
            "",
        )
    else:
        assert requested == [f"{lead}={branch}.*", f"nvidia-utils-{branch}-server={branch}.*"] and first == []
        assert modules == lead.replace("nvidia-headless-no-dkms", "linux-modules-nvidia")
    assert "BRANCH" not in f"{requested}{first}{modules}" and "PIN" not in f"{requested}{first}{modules}"


@pytest.mark.parametrize(("key", "source", "branch"), DRIVERS)
def test_an_exact_version_is_asked_of_every_package(key, source, branch):
    version = f"{branch}.42.01"
    requested = driver("_nvidia_driver_requested", key, source, branch, nvidia_driver_version=version)
    assert {request.partition("=")[2] for request in requested} == {f"{version}-*"}
    first = driver("_nvidia_driver_first", key, source, branch, nvidia_driver_version=version)
    assert first == ([f"nvidia-driver-pinning-{version}"] if source == "nvidia" and int(branch) >= 580 else [])


@pytest.mark.parametrize(("key", "source", "branch"), DRIVERS)
def test_a_kernel_that_would_come_along_is_refused_and_modules_are_not(key, source, branch):
    from fnmatch import fnmatchcase

    names = driver("_nvidia_driver_names", key, source, branch)
    brought = [name for name in ("linux-image-6.8.0-45-generic", "linux-modules-6.8.0-45-generic")]
    assert all(any(fnmatchcase(name, pattern) for pattern in names["untouched"]) for name in brought)
    own = [f"linux-modules-nvidia-{branch}-server-open-6.8.0-45-generic"] if source == "distribution" else []
    assert not any(fnmatchcase(name, pattern) for name in own for pattern in names["untouched"])
    held = [
        any(fnmatchcase(name, pattern) for pattern in names["held"]) for name in [*own, "linux-image-generic"] if own
    ]
    assert all(held)


@pytest.mark.parametrize("key", DEBS)
def test_driver_repository(key):
    text = render("nvidia_driver", "nvidia-driver.sources.j2", **host(key))
    assert f"URIs: {CUDA}{key}/x86_64/\n" in text and "Suites: /\n" in text
    row = driver("_nvidia_driver_repository", key, "nvidia", "580")
    assert row["key_url"].startswith(CUDA + key) and len(row["fingerprint"]) == 40
    mirror = render(
        "nvidia_driver", "nvidia-driver.sources.j2", **host(key), nvidia_driver_repository_url="https://m/x"
    )
    assert "URIs: https://m/x\n" in mirror


@pytest.mark.parametrize(("key", "source", "branch"), DRIVERS)
def test_files_of_the_driver_s_source(key, source, branch):
    files = driver("_nvidia_driver_files", key, source, branch)
    assert ("/etc/apt/sources.list.d/nvidia-driver.sources" in files) == (source == "nvidia")
    same_names = source == "nvidia" and key.startswith("ubuntu") and int(branch) < 590
    assert ("/etc/apt/preferences.d/nvidia-driver" in files) == same_names
    if same_names:
        given = {"nvidia_driver_source": source, "nvidia_driver_branch": branch}
        text = render("nvidia_driver", "preferences.j2", **host(key), **given)
        assert f"nvidia-*-{branch}* " in text and "Pin: release o=Ubuntu\n" in text and "-1" in text


def test_unattended_upgrades_leave_alone_what_is_held():
    given = {**host("ubuntu2404"), "nvidia_driver_source": "distribution"}
    text = render("nvidia_driver", "apt-hold.conf.j2", **given)
    assert '"linux-modules-nvidia-";\n' in text and '"linux-image-[a-z]";\n' in text
    assert "linux-" not in render("nvidia_driver", "apt-hold.conf.j2", **host("debian12"))


def docker(name, key, **changes):
    return value("docker", name, **host(key), **changes)


@pytest.mark.parametrize(("key", "default"), [(key, "distribution" if key == "debian13" else "docker") for key in DEBS])
def test_docker_packages_by_source(key, default):
    offers = SYSTEMS[key]["docker"]
    assert docker("_docker_source", key) == default and docker("_docker_requested", key) == offers[default]
    for source, packages in offers.items():
        assert docker("_docker_requested", key, docker_source=source) == packages
        assert docker("_docker_has_repository", key, docker_source=source) == (source == "docker")
        assert not set(packages) & set(docker("_docker_others", key)[source])
    assert docker("_docker_requested", key, docker_packages=["moby"]) == ["moby"]
    assert not docker("_docker_has_repository", key, docker_packages=["moby"])


@pytest.mark.parametrize(
    ("key", "distribution", "suite"),
    [("debian13", "debian", "trixie"), ("debian12", "debian", "bookworm"), ("ubuntu2404", "ubuntu", "noble"),
     ("ubuntu2204", "ubuntu", "jammy")],
)  # fmt: skip
def test_docker_repository(key, distribution, suite):
    text = render("docker", "docker.sources.j2", **host(key))
    assert f"URIs: https://download.docker.com/linux/{distribution}\n" in text
    assert f"Suites: {suite}\nComponents: stable\n" in text
    flat = render(
        "docker", "docker.sources.j2", **host(key), docker_repository_url="https://m", docker_repository_suite="/"
    )
    assert "URIs: https://m\nSuites: /\nSigned-By" in flat


@pytest.mark.parametrize("role", ["nvidia_driver", "docker", "nvidia_container_toolkit"])
def test_a_key_may_be_given_as_text_or_file(role, tmp_path):
    armored = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nx\n-----END PGP PUBLIC KEY BLOCK-----"
    (tmp_path / "key.asc").write_text(armored + "\n")
    name = f"{role}_repository_key"
    for given, text in ((armored, armored), (str(tmp_path / "key.asc"), armored), ("", "")):
        assert value(role, f"_{role}_key_text", **host("debian12"), **{name: given}) == text


FINGERPRINTS = {  # where a role has its repository's, unless the user gives one
    "nvidia_driver": "_nvidia_driver_repository.fingerprint",
    "docker": "_docker_repository.fingerprint",
    "nvidia_container_toolkit": "nvidia_container_toolkit_repository_key_fingerprint",
}


def key_for(role, name, fingerprint, system):
    """The key that package_source gets for a role's task on this system when the user gives none."""
    assert value(role, f"_{name.replace('_repository', '')}_text", **host(system)) == ""
    return load("action", "package_source").shipped(value(role, fingerprint, **host(system)))


@pytest.mark.parametrize("role", ["nvidia_driver", "docker", "nvidia_container_toolkit"])
@pytest.mark.parametrize("key", SYSTEMS)
def test_a_key_that_is_shipped_is_not_fetched(role, key):
    """All but those of NVIDIA's that platform/files/keys/README.md names as missing."""
    text = key_for(role, f"{role}_repository_key", FINGERPRINTS[role], key)
    missing = role == "nvidia_driver" and key in ("debian13", "el8", "el9", "el10")
    assert ("BEGIN PGP PUBLIC KEY BLOCK" in text) != missing


@pytest.mark.parametrize("key", RPMS)
def test_the_key_of_epel_is_shipped(key):
    text = key_for("nvidia_driver", "nvidia_driver_epel_key", "_platform_system.epel.fingerprint", key)
    assert "BEGIN PGP PUBLIC KEY BLOCK" in text


@pytest.mark.parametrize("engine", ["docker", "podman"])
@pytest.mark.parametrize("key", DEBS)
def test_an_engine_is_served_or_refused_with_what_works(key, engine):
    what, instead = supported.engine(ROWS, SYSTEMS[key], engine)
    assert bool(instead) == (not SYSTEMS[key][engine])
    if instead:
        assert SYSTEMS[key]["name"] in what and "deepgram_container_engine to docker" in instead
        assert "Ubuntu 24.04" in instead and "Debian 13" in instead


@pytest.mark.parametrize(("key", "kind", "source"), [
    (key, kind, source) for key in DEBS for kind, row in SYSTEMS[key].get("refused", {}).items() for source in row
])  # fmt: skip
def test_what_is_refused_is_not_offered_and_the_reason_is_said(key, kind, source):
    system = SYSTEMS[key]
    assert source not in system[kind]
    answer = (
        supported.driver(ROWS, system, source, "580")
        if kind == "driver"
        else supported.engine(ROWS, system, kind, source)
    )
    assert answer[0] == system["refused"][kind][source] and answer[1]


@pytest.mark.parametrize(("key", "source", "branch"), DRIVERS)
def test_a_driver_of_the_table_is_served(key, source, branch):
    assert supported.driver(ROWS, SYSTEMS[key], source, branch)[1] == ""


def test_other_drivers_are_refused_with_the_nearest():
    assert supported.driver(ROWS, SYSTEMS["ubuntu2404"], "nvidia", "535") == (
        "Ubuntu 24.04 has no driver of branch 535 from NVIDIA's repository", 'Set nvidia_driver_branch to "570"',
    )  # fmt: skip
    what, instead = supported.driver(ROWS, SYSTEMS["ubuntu2204"], "distribution", "590")
    assert "from the distribution's own packages" in what
    assert instead == 'Set nvidia_driver_branch to "595" or nvidia_driver_source to nvidia'
    assert "Ubuntu 24.04" in supported.driver(ROWS, SYSTEMS["debian13"], "distribution", "580")[1]


def desired(**changes):
    nothing = {"engine_packages": [], "engine_source": "", "engine_repository": ""}
    driver = {"driver_source": "nvidia", "driver_key": "", "branch": "580", "kernel_module": "open"}
    return {"engine": "docker", **nothing, **driver, **changes}


def test_preflight_says_what_is_not_served():
    def verdicts(key, **changes):
        found = preflight_support.combination(ROWS, SYSTEMS[key], desired(**changes))
        return [(one["check"], one["verdict"]) for one in found]

    good = [("container engine", "pass"), ("driver source", "pass")]
    assert verdicts("debian12") == verdicts("ubuntu2404", engine="podman", driver_source="distribution") == good
    assert verdicts("debian12", engine="podman")[0] == ("container engine", "fail")
    assert verdicts("debian12", engine="podman", engine_packages=["podman5"]) == good
    assert verdicts("debian12", driver_source="distribution")[1] == ("driver source", "fail")
    assert verdicts("debian12", engine="", driver_source="") == []
    assert verdicts("el10") == good, "its key is pinned by the sum of its file"
    source = {name: what for name, what in SYSTEMS["el10"]["driver"]["nvidia"].items() if name != "key_sha256"}
    nobody = {**SYSTEMS["el10"], "driver": {"nvidia": source}}
    found = preflight_support.driver_key(nobody, desired())
    assert [(one["check"], one["verdict"]) for one in found] == [("driver source key", "fail")]
    assert preflight_support.driver_key(nobody, desired(driver_key="0" * 40)) == []


def test_preflight_asks_for_docker_s_repository_where_it_is_used():
    def asked(key, **changes):
        return preflight_support.repositories(SYSTEMS[key], desired(**changes))

    assert asked("debian12") == {"Docker packages": ["https://download.docker.com/linux/debian"]}
    assert asked("debian12", engine_repository="https://m") == {"Docker packages": ["https://m"]}
    assert asked("debian13") == asked("debian12", engine_packages=["x"]) == asked("ubuntu2404", engine="podman") == {}


def test_preflight_asks_for_built_modules_instead_of_headers(monkeypatch):
    monkeypatch.setattr(preflight_support.platform, "release", lambda: "6.8.0-45-generic")
    tables = TABLES["drivers"]["_platform_driver_packages"]

    def package(key, **changes):
        return preflight_support.module_package(SYSTEMS[key], tables, desired(**changes))

    assert package("ubuntu2404") == "" and package("debian12", driver_source="distribution") == ""
    assert (
        package("ubuntu2404", driver_source="distribution") == "linux-modules-nvidia-580-server-open-6.8.0-45-generic"
    )
    monkeypatch.setattr(preflight_support.preflight_host, "apt_knows", lambda name: (False, "no network"))
    modules, secure_boot = preflight_support.kernel_modules("linux-modules-x")
    assert modules["verdict"] == "fail" and "no network" in modules["seen"] and "restricted" in modules["fix"]
    assert secure_boot["verdict"] == "pass"


def test_versions_of_engines_are_those_of_the_table():
    engines = TABLES["cdi"]["_platform_cdi"]["engines"]
    assert engines["docker"]["full_cdi_from"] == "26.1.0" and engines["podman"]["quadlet_from"] == "4.4.0"


def test_units_use_no_key_that_podman_4_9_does_not_know():
    new = ("NetworkAlias=", "StopTimeout=", "Memory=", "ReloadCmd=", "StartWithPod=", "HttpProxy=")
    for path in ROOT.glob("roles/*/templates/*container*.j2"):
        assert not [line for line in path.read_text().splitlines() if line.startswith(new)], path


@pytest.mark.parametrize(("key", "source"), [(key, source) for key, row in SYSTEMS.items() for source in row["driver"]])
def test_every_file_of_the_driver_but_its_mark_comes_back_without_a_restart(key, source):
    branch = next(iter(SYSTEMS[key]["driver"][source]["branches"]))
    files, role = driver("_nvidia_driver_files", key, source, branch), roles.role("nvidia_driver")
    affected = [path for path in files if not role.is_calm([f"file {path}"], {})]
    assert affected == ["/var/lib/deepgram/nvidia-driver"] and len(files) > 1
    for name in ("reboot_allowed", "remove_other_sources", "mig_disable_allowed"):
        assert not role.is_calm([f"file {files[0]}"], {f"nvidia_driver_{name}": True})
    for other in ("role", "driver", "package nvidia-open", "package libcuda1", "unit nvidia-persistenced.service"):
        assert not role.is_calm([f"file {files[0]}", other], {})
