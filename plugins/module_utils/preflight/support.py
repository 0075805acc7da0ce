"""Preflight checks of what is to be installed against the tables: system, container engine, driver's source and branch.

`desired`: {engine ("" where no container runs), engine_source, engine_packages, engine_repository, driver_source ("" where no
GPU is used), driver_key (a fingerprint that the user gives, or ""), branch, kernel_module, monitoring and certificates (see
packaged)}. Each function changes nothing.
"""

import platform

from ansible.module_utils.host import supported
from ansible.module_utils.host.outcome import finding
from ansible.module_utils.preflight import host as preflight_host


def combination(systems, system, desired):
    """Findings: is this system served with the engine, the driver's source and its branch?"""
    found = []
    if desired["engine"] and desired["engine_packages"]:
        seen = "packages of your own: " + ", ".join(desired["engine_packages"])
        found.append(finding("container engine", True, seen, "an engine that this system has"))
    elif desired["engine"]:
        answer = supported.engine(systems, system, desired["engine"], desired["engine_source"])
        found.append(judged("container engine", answer, "an engine that this system has"))
    if desired["driver_source"]:
        answer = supported.driver(systems, system, desired["driver_source"], desired["branch"])
        found.append(judged("driver source", answer, "a source and a branch that this system has"))
        found += driver_key(system, desired)
    return found + packaged(system, [*(desired.get("monitoring") or []), *(desired.get("certificates") or [])])


def packaged(system, asked):
    """Findings on programs that watch, and on certbot.

    asked: a list of {what, packages (the user's own), table (by package manager), advice}.
    """
    found = []
    for one in asked:
        packages = one["packages"] or one["table"].get(system["packages"]) or []
        seen = ", ".join(packages) or f"{system['name']} has none in its own repositories"
        fix = f"{one['advice']} to the packages of a repository that you gave it."
        found.append(finding(one["what"], bool(packages), seen, "packages that this system has", fix))
    return found


def driver_key(system, desired):
    """Finding where nothing says which key signs the driver's packages: one that is only fetched proves nothing."""
    source = system["driver"].get(desired["driver_source"]) or {}
    if source.get("fingerprint") != "" or source.get("key_sha256") or desired["driver_key"]:
        return []
    advice = (
        f"Fetch {source['key_url']}, have gpg --show-keys tell its fingerprint, compare it with what NVIDIA publishes, and set "
        "nvidia_driver_repository_key_fingerprint to it."
    )
    seen = f"dgctl does not know the fingerprint of NVIDIA's key for {system['name']}"
    return [finding("driver source key", False, seen, "a key whose fingerprint is known", advice)]


def judged(check, answer, expected):
    seen, instead = answer
    return finding(check, not instead, seen, expected, instead + "." if instead else "")


def repositories(system, desired):
    """{label: [URL]} of the engine's repository, where it has one of its own."""
    source = desired["engine_source"] or next(iter(system.get(desired["engine"]) or {}), "")
    if desired["engine"] != "docker" or source != "docker" or desired["engine_packages"]:
        return {}
    return {"Docker packages": [desired["engine_repository"] or system["docker_repository"]["url"]]}


def module_package(system, tables, desired):
    """The package with built modules for the running kernel; "" where DKMS builds them."""
    source = (system.get("driver") or {}).get(desired["driver_source"])
    branch = str(desired["branch"])
    rows = [row for row in tables[source["names"]] if row["from"] <= int(branch)] if source else []
    prefix = (rows[0].get("modules") or {}).get(desired["kernel_module"], "") if rows else ""
    return f"{prefix.replace('BRANCH', branch)}-{platform.release()}" if prefix else ""


def kernel_modules(package):
    """Findings on modules that the distribution builds and signs: they are there for this kernel, or can be had."""
    known, error = preflight_host.apt_knows(package)
    seen = f"{package} can be installed" if known else f"apt knows no package {package}"
    if error and not known:
        seen += f" ({error})"
    advice = (
        "Bring the kernel up to date (apt-get dist-upgrade, reboot) and have restricted and multiverse among the "
        "host's package sources; or set nvidia_driver_source to nvidia, whose modules are built on the host."
    )
    return [
        finding("kernel modules", known, seen, f"modules for the running kernel {platform.release()}", advice),
        finding("secure boot", True, "the distribution signs the modules", "off, or signed modules"),
    ]


def for_kernel(system, tables, desired):
    """Findings on what the driver needs of the running kernel and of Secure Boot."""
    package = module_package(system, tables, desired)
    if package:
        return kernel_modules(package)
    return preflight_host.kernel_headers() + preflight_host.secure_boot()
