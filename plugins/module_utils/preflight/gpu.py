"""Preflight checks of the GPUs, from PCI ids and, once a driver works, from nvidia-smi.

`table` maps a PCI id "10de:1eb8" to {name, memory_mib, compute_capability, ...}.
"""

from ansible.module_utils.host.outcome import finding
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.nvidia.drivers import number


def gpus(table, minimums, desired, root="/sys/bus/pci/devices"):
    """Findings for count, model, memory, capability and names; `desired` is {count, names, excluded}."""
    devices = nvidia_host.pci_gpus(root)
    if minimums["gpu_count"] == 0 and not devices:
        return []
    found = [count(devices, minimums["gpu_count"], desired["count"])]
    known = [(device, table[device["id"]]) for device in devices if device["id"] in table]
    unknown = [device for device in devices if device["id"] not in table]
    if unknown:
        seen = ", ".join("{id} at {address}".format(**device) for device in unknown)
        found.append(
            finding(
                "gpu model",
                False,
                seen,
                "a PCI id in preflight_gpus_extra or the role's table",
                "Look the card up; if it is fit to serve, describe it in preflight_gpus_extra.",
            )
        )
    if known:
        found += [
            of_model(known, desired["excluded"]),
            of_memory(known, minimums),
            of_capability(known, minimums),
        ]
    if desired["names"]:
        found.append(of_names(known, unknown, desired["names"]))
    return found


def count(devices, minimum, exact):
    expected = f"exactly {exact}" if exact is not None else f"at least {minimum}"
    ok = len(devices) == exact if exact is not None else len(devices) >= minimum
    return finding(
        "gpu count",
        ok,
        len(devices),
        expected,
        "Look for the card with lspci -d 10de: (seat, power, BIOS 'above 4G decoding'); "
        "or correct preflight_gpu_count and preflight_min_gpu_count.",
    )


def of_model(known, excluded):
    seen = ", ".join("{} ({})".format(model["name"], device["id"]) for device, model in known)
    unfit = [model["name"] for device, model in known if device["id"] in excluded]
    return finding(
        "gpu model",
        not unfit,
        seen,
        "models that can serve this profile",
        "{} cannot serve this deepgram_profile: use another GPU or another profile.".format(", ".join(unfit)),
    )


def of_memory(known, minimums):
    least = min(model["memory_mib"] for _device, model in known)
    return finding(
        "gpu memory",
        least >= minimums["gpu_memory_mb"],
        f"{least} MiB",
        "at least {} MiB on each GPU".format(minimums["gpu_memory_mb"]),
        (
            "Use a GPU with more memory, or lower preflight_min_gpu_memory_mb: an Engine short of GPU "
            "memory does not start."
        ),
    )


def of_capability(known, minimums):
    least = min((model["compute_capability"] for _device, model in known), key=number)
    desired = minimums["gpu_compute_capability"]
    return finding(
        "gpu compute capability",
        number(least) >= number(desired),
        least,
        f"at least {desired}",
        f"Use a newer GPU: the Engine has no code for compute capability {least}.",
    )


def of_names(known, unknown, names):
    seen = sorted(model["name"] for _device, model in known) + [device["id"] for device in unknown]
    return finding(
        "gpu names",
        seen == sorted(names),
        ", ".join(seen) or "none",
        ", ".join(sorted(names)),
        "Correct preflight_gpu_names, or find out why this host has other GPUs than were ordered.",
    )


def mig(smi=nvidia_host.smi_gpus, allowed=False):
    """Deepgram cannot use MIG slices. Only a working driver can tell. allowed: nvidia_driver switches it off."""
    if not nvidia_host.loaded_version():
        return finding("mig", None, "no driver loaded yet", "off")
    cards, error = smi(30)
    enabled = nvidia_host.mig_enabled(cards)
    if error:
        return finding("mig", None, error, "off")
    return finding(
        "mig",
        not enabled or (None if allowed else False),
        "on: {}{}".format(", ".join(enabled), ", the nvidia_driver role switches it off" if allowed else "")
        if enabled
        else "off",
        "off",
        "Deepgram does not support MIG slices: set nvidia_driver_mig_disable_allowed to true if nothing else uses them; "
        "or nvidia-smi -i {} -mig 0, then reboot.".format(",".join(enabled)),
    )


def nouveau():
    """Only told: the driver role unloads nouveau and keeps it away."""
    loaded = [name for name in ("nouveau", "nova_core") if nvidia_host.module_loaded(name)]
    return finding(
        "nouveau",
        None if loaded else True,
        ", ".join(loaded) or "not loaded",
        "not loaded",
        "Nothing to do: the nvidia_driver role unloads it and keeps it from loading.",
    )
