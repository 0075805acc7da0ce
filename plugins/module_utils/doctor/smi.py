"""What nvidia-smi tells the doctor of each GPU, and how it is read."""

from ansible.module_utils.doctor.check import unknown

FIELDS = (
    *("index", "uuid", "name", "pci.bus_id", "driver_version", "persistence_mode"),
    *(
        "ecc.errors.uncorrected.volatile.total",
        "retired_pages.pending",
        "remapped_rows.pending",
        "remapped_rows.failure",
    ),
    *("pcie.link.width.current", "pcie.link.width.max"),
    *("clocks_event_reasons.hw_slowdown", "clocks_event_reasons.hw_thermal_slowdown", "gpu_recovery_action"),
    *("fabric.state", "fabric.status", "mig.mode.current", "temperature.gpu"),
)
FORMAT = "--format=csv,noheader,nounits"
UNKNOWN_FIELD = "is not a valid field"


def query(fields=FIELDS):
    return ("nvidia-smi", "--query-gpu=" + ",".join(fields), FORMAT)


def answer(host):
    """What nvidia-smi says to the query; a driver that does not know all fields is asked for those it knows."""
    reported = host.reported("smi")
    if reported is None or reported.status != 2 or UNKNOWN_FIELD not in reported.text:
        return reported
    known = host.programs.also("smi_fields", "nvidia-smi", "--help-query-gpu").text
    fields = [field for field in FIELDS if f'"{field}"' in known]
    return host.programs.also("smi_again", *query(fields)) if fields else reported


def cards(host):
    """({PCI address: {field: value}}, what nvidia-smi said beside that)."""
    return host.once("cards", lambda: read_cards(host))


def read_cards(host):
    reported = answer(host)
    if reported is None:
        return {}, "nvidia-smi was not asked"
    fields = FIELDS
    if reported is not host.reported("smi"):
        known = host.programs.also("smi_fields", "nvidia-smi", "--help-query-gpu").text
        fields = [field for field in FIELDS if f'"{field}"' in known]
    found, rest = {}, []
    for line in filter(str.strip, reported.text.splitlines()):
        row = [cell.strip() for cell in line.split(", ")]
        if len(row) == len(fields):
            card = dict(zip(fields, row))
            found[card["pci.bus_id"].lower()[-12:]] = card  # it writes 00000000:3B:00.0
        else:
            rest.append(line.strip())
    return found, " ".join(rest) or reported.why


def known(value):
    """A field's value; "" where the GPU has none ([N/A], [Not Supported])."""
    return "" if value is None or value.startswith("[") or value in ("N/A", "") else value


def names(card, bus=""):
    return f"GPU {card.get('index', '?')} ({card.get('pci.bus_id', bus).lower()[-12:]})"


def of_cards(host, *fields):
    """[(card, values of the fields)] of the GPUs that answer; None when none does, or none has any of the fields."""
    found = [(card, [known(card.get(field)) for field in fields]) for card in cards(host)[0].values()]
    return [entry for entry in found if any(entry[1])] or None


def silent(host):
    """Why no check of the GPUs can be made: reported by the check of that name."""
    if not host.gpus():
        return unknown("no NVIDIA GPU on the bus")
    return unknown("nvidia-smi does not tell" if cards(host)[0] else "no GPU answers")
