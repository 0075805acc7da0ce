"""Rules that hold over all roles, playbooks and plugins."""

import fnmatch
import re

import pytest
import yaml

from tests import yaml_file
from tests.paths import PROJECT

DEFAULTS = {path.parents[1].name: path for path in sorted(PROJECT.glob("roles/*/defaults/main.yml"))}
SHIPPED = [
    path
    for folder in ("roles", "playbooks", "plugins", "dgctl")
    for path in sorted((PROJECT / folder).rglob("*"))
    if path.suffix in {".yml", ".py", ".j2", ".sh"}
]
FALLBACK = re.compile(r"(\w+) \| default\(([^()]*)\)")


def fallbacks():
    """(file, variable of another role, the default it is given there)."""
    owners = {name: role for role, path in DEFAULTS.items() for name in yaml_file.read(path)}
    for role, path in DEFAULTS.items():
        for name, value in FALLBACK.findall(path.read_text()):
            if owners.get(name, role) != role:
                yield f"{role}: {name}", name, owners[name], value


@pytest.mark.parametrize(("where", "name", "owner", "value"), list(fallbacks()))
def test_default_is_the_owner_s_default(where, name, owner, value):
    own = yaml_file.read(DEFAULTS[owner])[name]
    assert yaml.safe_load(value) == own or (value in ("omit", "none") and own is None), where


def test_there_are_cross_references_to_compare():
    assert len(list(fallbacks())) >= 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_that_is_shipped_knows_the_lab(path):
    assert not re.search(r"\b(lab|stand-?ins?|simulat\w*|mock\w*|fake\w*)\b", path.read_text(), re.I)


@pytest.mark.parametrize("path", sorted(PROJECT.glob("roles/*/tasks/*.yml")), ids=lambda p: "/".join(p.parts[-3:]))
def test_task_files_are_small_and_honest(path):
    text = path.read_text()
    assert "ignore_errors" not in text
    assert text.count("\n") <= 80


ROLES = sorted(path.parents[1].name for path in PROJECT.glob("roles/*/tasks/main.yml"))
RECORDING = [role for role in ROLES if role != "preflight"]
# Parameters of this project's modules that name what the module writes; templates write through host_files alone.
WRITTEN = {
    "package_source": ("path", "key"),
    "daemon_json": ("path",),
    "deepgram_images": ("record", "auth_dir"),
    "model_files": ("dir",),
    "nvidia_driver_load": ("mark",),
    "nginx_site": ("path", "certificate", "key", "main_path", "client_ca"),
    "self_signed_certificate": ("certificate", "key"),
    "api_certificate": ("directory",),
}
# What these make lies at places of their own, which they return for the declaration: module to the variable's part.
RETURNED = {
    "nvidia_cdi": ".files",
    "nvidia_persistence": ".drop_in",
    "model_files": ".records",
    "nvidia_fabric": ".units",
}
READING = {
    "nvidia_gpus",
    "nvidia_mig",
    "preflight_probe",
    "deepgram_upstreams",
    "deepgram_callers",
    "acme_certificate",
    "host_firewall",
    "firewalld_ports",
    "selinux_settings",
    "host_packages",
    "driver_leftovers",
    "nvidia_driver_offers",
    "kernel_with_headers",
    "deepgram_service",
    "deepgram_health",
    "unit_running",
    "upload_buffer",  # what is in its file changes by itself
}
# Modules with lists of files, each with its path.
OF_FILES = {"host_files", "checked_files"}


def tasks(role):
    """Every task of a role's files."""
    for path in sorted((PROJECT / "roles" / role / "tasks").glob("*.yml")):
        yield from yaml_file.read(path)


def module_of(task):
    """(name, arguments) of a task's module."""
    keywords = {"name", "when", "register", "changed_when", "failed_when", "vars", "no_log", "loop", "loop_control"}
    return next((key, value) for key, value in task.items() if key not in keywords)


def variables(role):
    """The role's own variables, as written."""
    values = {}
    for path in (PROJECT / "roles" / role / "vars").rglob("*.yml"):
        values |= yaml_file.read(path)
    return values


def reached(role, start):
    """What a task's arguments say, and all of the role's own variables that they lead to."""
    values, found, names = variables(role), [start], set()
    for one in found:
        for name in sorted(set(re.findall(r"_[a-z]\w+", str(one))) & set(values) - names):
            names.add(name)
            found.append(values[name])
    return found


def paths_in(value):
    """The paths in entries for host_files: written as YAML, or as a dictionary within a template."""
    if isinstance(value, dict) and "path" in value:
        yield value["path"]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from item if key == "absent" else paths_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, str):
        yield from re.findall(r"'path': ([^,}]+)[,}]", value)


def written(role):
    """The paths, as the role's tasks have them, that the role writes or takes away."""
    for task in tasks(role):
        module, arguments = module_of(task)
        if module in OF_FILES:
            yield from (path for one in reached(role, arguments) for path in paths_in(one))
        if arguments and "state" in arguments and module == "api_certificate":
            continue  # it only says who signs
        for parameter in WRITTEN.get(module, ()):
            yield arguments[parameter]


def declaration(role):
    (found,) = [arguments for task in tasks(role) for name, arguments in [module_of(task)] if name == "applied_state"]
    return found


def plain(text):
    """A path without the marks of a template: what stays is the same however it is put together."""
    return re.sub(r"[{}\"' ~]", "", str(text))


@pytest.mark.parametrize("role", RECORDING)
def test_what_a_role_writes_is_in_its_declaration(role):
    declared = plain("\n".join(map(str, reached(role, declaration(role)))))
    paths = {plain(path) for path in written(role)}
    assert {path for path in paths if path not in declared} == set()


@pytest.mark.parametrize("role", RECORDING)
def test_every_module_of_a_role_is_known_to_the_test_above(role):
    own = {path.stem for path in (PROJECT / "plugins/modules").glob("*.py")} - READING
    used = {name for task in tasks(role) for name, _ in [module_of(task)]} & own
    assert used - set(WRITTEN) - set(RETURNED) - OF_FILES - {"applied_state"} == set()
    text = str(declaration(role))
    assert [name for name in used & set(RETURNED) if RETURNED[name] not in text] == []


@pytest.mark.parametrize("role", RECORDING)
def test_a_role_ends_with_its_record(role):
    last = yaml.safe_load((PROJECT / f"roles/{role}/tasks/main.yml").read_text())[-1]
    assert last["ansible.builtin.import_tasks"] == "record.yml" and "when" not in last


def test_the_test_sees_what_roles_write():
    assert len({path for role in RECORDING for path in written(role)}) >= 28


@pytest.mark.parametrize("role", RECORDING)
def test_effects_name_what_there_is(role):
    effects = yaml.safe_load((PROJECT / f"roles/{role}/meta/effects.yml").read_text())
    known = {name for path in DEFAULTS.values() for name in yaml_file.read(path)}
    known |= {"deepgram_release", "deepgram_api_key"}
    assert set(effects) - {"fetches", "calm"} == {"follows", "restarts", "reboots"}
    assert set(effects["follows"]) <= set(RECORDING) - {role}
    assert set(effects.get("calm", {}).get("unless", ())) <= known
    assert set(effects["restarts"]) <= {"deepgram-api", "deepgram-engine", "deepgram-license-proxy", "deepgram-billing"}
    kinds = "\n".join(map(str, reached(role, declaration(role))))
    for pattern in [
        *effects["reboots"],
        *effects.get("fetches", ()),
        *(one for many in effects["restarts"].values() for one in many),
    ]:
        kind, _, name = pattern.partition(" ")
        if pattern == "*":
            continue
        if kind == "variable":
            assert fnmatch.filter(known, name), pattern
        else:
            assert kind in ("role", "driver") or kind + "s" in declaration(role), pattern
        if kind == "file":
            folder = name.rpartition("/")[0]
            assert folder in kinds or folder.rpartition("/")[0] in kinds, pattern


def test_preflight_records_nothing():
    assert not (PROJECT / "roles/preflight/meta/effects.yml").exists()


def test_a_condition_that_is_a_variable_alone_is_a_boolean():
    """ansible-core 2.19 and later fail on any other value, on the one system or setting where the task is come to."""
    bare = re.compile(r"(?:not )?([a-z]\w*)")
    wrong = []
    for path in sorted((PROJECT / "roles").glob("*/tasks/**/*.yml")):
        role = PROJECT / "roles" / path.relative_to(PROJECT).parts[1]
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
        types = {name: one.get("type") for name, one in specs["argument_specs"]["main"]["options"].items()}
        for task in yaml_file.read(path) or []:
            reported = task.get("when", [])
            for one in reported if isinstance(reported, list) else [reported]:
                found = bare.fullmatch(str(one))
                if found and types.get(found[1], "bool") != "bool":
                    wrong.append(f"{path.relative_to(PROJECT)}: {task.get('name')}: {one}")
    assert wrong == []
