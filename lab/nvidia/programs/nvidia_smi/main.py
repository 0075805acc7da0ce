"""The command line."""

import sys

from . import __doc__ as about
from . import shapes
from .driver import SmiError, chosen, library_version, refuse_lost, visible_gpus
from .fields import known

SHORT = {
    "-L": "--list-gpus", "-i": "--id", "-q": "--query", "-h": "--help", "-pm": "--persistence-mode",
    "-mig": "--multi-instance-gpu", "-r": "--gpu-reset", "-d": "--display",
}  # fmt: skip
VALUED = {
    "--id", "--query-gpu", "--format", "--persistence-mode", "--multi-instance-gpu", "--query-compute-apps", "--display",
}  # fmt: skip
FLAGS = {"--list-gpus", "--query", "--help", "--version", "--help-query-gpu", "--gpu-reset"}
CHANGES = {"--persistence-mode", "--multi-instance-gpu", "--gpu-reset"}
WRONG = "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help."


def parse(arguments):
    """Options as a dict; nvidia-smi takes `--name=value`, `--name value` and single-letter forms."""
    options, rest = {}, list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        name = SHORT.get(name, name)
        if name in FLAGS and not equals:
            options[name] = ""
        elif name in VALUED and (equals or rest):
            options[name] = value if equals else rest.pop(0)
        else:
            raise SmiError(f"{WRONG}\n{name}", 2)
    return options


def answer(arguments):
    options = parse(arguments)
    if "--help" in options:
        return "NVIDIA System Management Interface (simulated)\n\n" + about
    if "--help-query-gpu" in options:
        head = 'List of valid properties to query for the switch "--query-gpu=":\n\n'
        return head + "\n\n".join(f'"{name}"' for name in known(library_version()))
    if "--version" in options:
        return shapes.versions(library_version())
    form = options.get("--format", "").split(",")
    if "--query-gpu" in options and "csv" not in form:
        raise SmiError("\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help.", 2)
    gpus = chosen(visible_gpus(), options.get("--id"))
    if "--list-gpus" in options:
        return shapes.listing(gpus)
    refuse_lost(gpus)
    return of_gpus(gpus, options, form)


def of_gpus(gpus, options, form):
    """What is asked of GPUs that answer."""
    if "--query-gpu" in options:
        return shapes.query(gpus, options["--query-gpu"], form, gpus[0]["driver"])
    if "--query-compute-apps" in options:
        return "" if "noheader" in form else options["--query-compute-apps"].replace(",", ", ")
    if CHANGES & options.keys():
        return changed(gpus, options)
    return shapes.details(gpus) if "--query" in options else shapes.table(gpus)


def changed(gpus, options):
    from . import change  # half of this program's start, and watchdogs only ask

    if "--persistence-mode" in options:
        return change.persistence(gpus, options["--persistence-mode"])
    if "--multi-instance-gpu" in options:
        return change.mig(gpus, options["--multi-instance-gpu"])
    return change.reset(gpus)


def main():
    try:
        print(answer(sys.argv[1:]))
    except SmiError as error:
        print(error)
        sys.exit(error.code)
