"""The doctor on the health of a GPU's hardware: its memory, what the driver asks for, and what slows it down."""

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.smi import names, of_cards, silent

RESET = "drain the server, then nvidia-smi --gpu-reset -i {}, or reboot it"


def recovery(host):
    found = of_cards(host, "gpu_recovery_action")
    if not found:
        return silent(host)
    due = [(card, values[0]) for card, values in found if values[0] != "None"]
    if not due:
        return healthy("none")
    seen = listed(f"{names(card)}: {action}" for card, action in due)
    reboot = any("Reboot" in action for _, action in due)
    indexes = ",".join(card["index"] for card, _ in due)
    return unhealthy(seen, fix="drain the server, then reboot it" if reboot else RESET.format(indexes))


def memory(host):
    fields = ("remapped_rows.failure", "remapped_rows.pending", "retired_pages.pending")
    found = of_cards(host, *fields)
    if not found:
        return silent(host)
    failed = [card for card, values in found if values[0] == "Yes"]
    if failed:
        return unhealthy(
            f"{listed(map(names, failed))}: remapping of rows failed",
            "the GPU's memory has more broken rows than it has spare ones",
            "replace the GPU; until then take its number out of deepgram_gpu_devices",
        )
    pending = [(card, "rows" if values[1] == "Yes" else "pages") for card, values in found if "Yes" in values[1:]]
    if not pending:
        return healthy("nothing pending")
    seen = listed(f"{names(card)}: {what} wait to be retired" for card, what in pending)
    return unhealthy(seen, fix=RESET.format(",".join(card["index"] for card, _ in pending)))


def ecc(host):
    found = of_cards(host, "ecc.errors.uncorrected.volatile.total")
    if not found:
        return unknown("these GPUs count no errors of their memory")
    bad = [(card, values[0]) for card, values in found if values[0].isdigit() and int(values[0])]
    if not bad:
        return healthy("none")
    return unhealthy(
        listed(f"{names(card)}: {number}" for card, number in bad),
        fix=RESET.format(",".join(card["index"] for card, _ in bad)) + "; if they come back: replace the GPU",
    )


def slowdown(host):
    found = of_cards(host, "clocks_event_reasons.hw_slowdown", "clocks_event_reasons.hw_thermal_slowdown")
    if not found:
        return silent(host)
    slow = [(card, values) for card, values in found if "Active" in values]
    if not slow:
        return healthy("not active")
    hot = any(values[1] == "Active" for _, values in slow)
    return unhealthy(
        listed(f"{names(card)}, {card.get('temperature.gpu', '?')} °C" for card, _ in slow),
        "the GPU is too hot" if hot else "the power supply told the GPU to slow down, or it is too hot",
        "check fans, air flow and filters" if hot else "check the server's power supplies (BMC), fans and air flow",
    )


CHECKS = (
    Check(
        "gpu recovery", recovery,
        "the action that the driver itself asks for (gpu_recovery_action)",
        "none",
        "the driver met an error that only this clears",
        "drain the server, then nvidia-smi --gpu-reset -i N or a reboot, as it asks",
        stands_on=("xid",),
    ),
    Check(
        "gpu memory", memory,
        "rows or pages that wait to be retired (retired_pages, remapped_rows), and remapping that failed",
        "nothing pending",
        "a memory error was found; the row or page is retired at the next reset",
        RESET.format("N") + "; where remapping failed: replace the GPU",
        stands_on=("gpu answers", "ecc errors", "xid"),
    ),
    Check(
        "ecc errors", ecc,
        "uncorrected memory errors since the driver was loaded",
        "none",
        "memory of the GPU lost data; what computed with it may have failed",
        RESET.format("N") + "; if they come back: replace the GPU",
        stands_on=("gpu answers", "xid"),
    ),
    Check(
        "gpu slowdown", slowdown,
        "whether the hardware slows the GPU down, and its temperature",
        "not active",
        "the GPU is too hot, or the power supply told it to slow down",
        "check fans, air flow and filters, and the power supplies (BMC)",
        stands_on=("gpu answers",),
    ),
)  # fmt: skip
