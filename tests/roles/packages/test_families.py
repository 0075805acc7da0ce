"""What differs between package families stands in rows: of each family everywhere, and nobody asks which family a host is of."""

import importlib.util
import re

import kernel_with_headers
import nvidia_driver_offers
import pytest
import yaml
from ansible.module_utils.doctor import doctor
from ansible.module_utils.doctor import packages as doctor_packages
from ansible.module_utils.packages import families, files, installed, manager
from ansible.module_utils.preflight import host as preflight_host

from tests.paths import PROJECT as ROOT

NAMES = list(families.FAMILIES)
PLATFORM = ROOT / "roles/platform/vars/main"
TABLES = {
    "PROGRAMS in packages/families.py": families.PROGRAMS,
    "DATABASES in packages/manager.py": manager.DATABASES,
    "STARTS in packages/installed.py": installed.STARTS,
    "UNPACK in packages/files.py": files.UNPACK,
    "OF_PACKAGES in doctor/doctor.py": doctor.OF_PACKAGES,
    "MANAGERS in doctor/packages.py": doctor_packages.MANAGERS,
    "KNOWS in preflight/host.py": preflight_host.KNOWS,
    "HEADERS in preflight/host.py": preflight_host.HEADERS,
    "OFFERED in kernel_with_headers.py": kernel_with_headers.OFFERED,
    "NEWEST in kernel_with_headers.py": kernel_with_headers.NEWEST,
    "OFFERED in nvidia_driver_offers.py": nvidia_driver_offers.OFFERED,
    "INSTALLED in nvidia_driver_offers.py": nvidia_driver_offers.INSTALLED,
}


def of_platform(name):
    return yaml.safe_load((PLATFORM / f"{name}.yml").read_text())[f"_platform_{name}"]


@pytest.mark.parametrize("where", TABLES)
def test_a_family_has_its_line_in_every_table(where):
    assert list(TABLES[where]) == NAMES, where


def test_the_roles_table_and_the_systems_have_the_same_families():
    rows = of_platform("families")
    assert list(rows) == NAMES, "roles/platform/vars/main/families.yml"
    assert {system["packages"] for system in of_platform("systems").values()} == set(NAMES)
    (keys,) = {frozenset(row) for row in rows.values()}
    assert "unattended" in keys
    for name, row in rows.items():
        missing = [
            str(path.parent.parent.name)
            for path in ROOT.glob("roles/*/templates/*.sources.j2")
            if not path.with_name(path.name.replace("sources.j2", row["template"])).is_file()
        ]
        assert missing == [], f"roles without a repository's template of {name}"


@pytest.mark.controller_only
def test_each_family_has_a_module_of_its_own():
    modules = _action("host_packages").MODULES
    assert set(NAMES) <= set(modules)
    assert [name for name in modules.values() if not (ROOT / f"plugins/modules/{name}.py").is_file()] == []


def _action(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"plugins/action/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ({"/usr/bin/apt-get"}, "apt"),
        ({"/usr/bin/dnf"}, "dnf"),
        ({"/usr/bin/apt-get", "/usr/bin/dnf"}, "apt"),
        (set(), "apt"),
    ],
)
def test_a_host_is_told_by_its_programs(there, name):
    assert families.here(there.__contains__).name == name


ASKS = re.compile(
    r"is_rpm|(?:packages|pkg_mgr|family|name)\W* *[!=]= *[\"'](?:apt|dnf)[\"']|exists\([^)]*(?:apt-get|/dnf)\b"
)


def test_nobody_asks_which_family_a_host_is_of():
    paths = [path for folder in ("roles", "plugins") for path in (ROOT / folder).rglob("*.*")]
    sources = {path: path.read_text() for path in paths if path.suffix in (".py", ".yml", ".j2")}
    found = [f"{path.relative_to(ROOT)}: {one[0]}" for path, text in sources.items() for one in ASKS.finditer(text)]
    assert found == [], "give the row of the family what you ask it for"
    assert ASKS.search("_platform_system.packages == 'apt'") and ASKS.search('os.path.exists("/usr/bin/dnf")')
