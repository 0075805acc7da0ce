"""The forms of the output: table, CSV, list, details, versions."""

import datetime

from .driver import LOST, SmiError, branch, cuda_version
from .fields import FIELDS, cell, known, pstate

RULE = "|-----------------------------------------+------------------------+----------------------+"
RENAMED = 610  # the branch whose banner says KMD Version


def query(gpus, asked, form, library):
    """CSV lines, header first unless `noheader`."""
    names = [field.strip() for field in asked.split(",") if field.strip()]
    for name in names:
        if name not in known(library):
            raise SmiError(f'Field "{name}" is not a valid field to query.', 2)
    units = "nounits" not in form
    lines = []
    if "noheader" not in form:
        lines.append(", ".join(name + (f" [{FIELDS[name][0]}]" if FIELDS[name][0] else "") for name in names))
    for gpu in gpus:
        lines.append(", ".join(cell(gpu, name, units) for name in names))
    return "\n".join(lines)


def listing(gpus):
    """`-L`: a lost GPU costs its own line only."""
    return "\n".join(
        LOST.format(bus=gpu["bus_id"].upper()) if gpu["health"]["lost"]
        else f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})"
        for gpu in gpus
    )  # fmt: skip


def banner(driver):
    cuda = cuda_version(driver)
    if branch(driver) < RENAMED:
        return f"| NVIDIA-SMI {driver:<23}Driver Version: {driver:<15}CUDA Version: {cuda:<9}|"
    return f"| NVIDIA-SMI {driver:<23}KMD Version: {driver:<14}CUDA UMD Version: {cuda:<9}|"


def table(gpus):
    lines = [
        datetime.datetime.now().strftime("%a %b %e %H:%M:%S %Y") + "       (simulated)",
        "+" + "-" * 89 + "+",
        banner(gpus[0]["driver"]),
        RULE,
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
        "|                                         |                        |               MIG M. |",
        RULE.replace("-", "="),
    ]
    for gpu in gpus:
        lines += table_rows(gpu)
    return "\n".join([
        *lines,
        "",
        "+" + "-" * 89 + "+",
        "| Processes:" + " " * 78 + "|",
        "|  No running processes found" + " " * 61 + "|",
        "+" + "-" * 89 + "+",
    ])  # fmt: skip


def table_rows(gpu):
    health = gpu["health"]
    state = "On" if gpu["persistence"] == "Enabled" else "Off"
    fan = "0%" if gpu["fan"] else "N/A"
    mig = health["mig.mode.current"].strip("[]")
    errors = health["ecc.errors.uncorrected.volatile.total"]
    usage = f"{gpu['power_idle']}W / {gpu['power_limit']:>4}W"
    memory = f"0MiB / {gpu['memory']:>6}MiB"
    head = f"{fan:<4} {health['temperature.gpu']}C    {pstate(gpu)} {usage:>24}"
    return [
        f"| {gpu['index']:>3}  {gpu['name']:<29}{state:>4}  |   {gpu['smi_bus_id']} Off | {errors:>20} |",
        f"| {head} | {memory:>22} | {'0%':>8} {'Default':>11} |",
        f"|{' ' * 41}|{' ' * 24}| {mig:>20} |",
        "+-----------------------------------------+------------------------+----------------------+",
    ]


def details(gpus):
    """The head and the sections of `-q` that people grep."""
    driver = gpus[0]["driver"]
    old = "" if branch(driver) < RENAMED else " [Deprecated; will be removed in CUDA 14.0. Use KMD Version instead]"
    lines = ["", "==============NVSMI LOG (simulated)==============", ""]
    pairs = [("Timestamp", datetime.datetime.now().ctime()), ("Driver Version", driver + old)]
    pairs += [("CUDA Version", cuda_version(driver)), ("Attached GPUs", len(gpus))]
    lines += [f"{name:<42}: {value}" for name, value in pairs]
    for gpu in gpus:
        lines += ["", f"GPU {gpu['smi_bus_id']}", *details_of(gpu)]
    return "\n".join(lines)


# Title, then the field of each line below it; no title: lines of the GPU itself.
SECTIONS = (
    ("", {"Product Name": "name", "Persistence Mode": "persistence_mode", "Addressing Mode": "addressing_mode"}),
    ("MIG Mode", {"Current": "mig.mode.current", "Pending": "mig.mode.pending"}),
    ("", {"Serial Number": "serial", "GPU UUID": "uuid", "VBIOS Version": "vbios_version"}),
    ("", {"GPU Recovery Action": "gpu_recovery_action"}),
    ("Fabric", {"State": "fabric.state", "Status": "fabric.status"}),
    ("FB Memory Usage", {"Total": "memory.total", "Used": "memory.used", "Free": "memory.free"}),
    ("ECC Mode", {"Current": "ecc.mode.current", "Pending": "ecc.mode.pending"}),
    ("Retired Pages", {"Pending Page Blacklist": "retired_pages.pending"}),
    ("Remapped Rows", {"Pending": "remapped_rows.pending", "Remapping Failure Occurred": "remapped_rows.failure"}),
    ("Temperature", {"GPU Current Temp": "temperature.gpu"}),
)


def details_of(gpu):
    lines = [f"    {'Minor Number':<38}: {gpu['minor']}"]
    for title, rows in SECTIONS:
        lines += [f"    {title}"] if title else []
        indent = "        " if title else "    "
        width = 34 if title else 38
        lines += [f"{indent}{name:<{width}}: {cell(gpu, field, True).strip('[]')}" for name, field in rows.items()]
    return lines


def versions(library):
    shown = library if branch(library) < RENAMED else 'Deprecated, see "KMD version" instead'
    lines = [
        f"NVIDIA-SMI version  : {library} (simulated)",
        f"NVML version        : {'.'.join(library.split('.')[:2])}",
        f"DRIVER version      : {shown}",
        f"CUDA Version        : {cuda_version(library)}",
    ]
    return "\n".join(lines + ([f"KMD version         : {library}"] if branch(library) >= RENAMED else []))
