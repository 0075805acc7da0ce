"""The command line: one short function a verb. Everything heavy is imported when a verb runs."""

from __future__ import annotations

import functools
import gc
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dgctl import __version__
from dgctl.usage import Commands

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
OPTIONS = (
    click.option("--limit", metavar="PATTERN", help="Only these hosts, as ansible-playbook's --limit."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("-v", "verbosity", count=True, help="Ansible's output too, on stderr; -vv for more."),
    click.option("--vault-password-file", "--vault-pass-file", multiple=True, metavar="FILE",
                 help="Vault password file. `.vault_pass` beside the inventory is used without this."),
    click.option("--vault-id", multiple=True, metavar="LABEL@SOURCE", help="Vault identity."),
    click.option("-J", "--ask-vault-pass", "--ask-vault-password", is_flag=True, help="Ask for it."),
)  # fmt: skip
CHECK = click.option("-C", "--check", is_flag=True, help="Change nothing; say what would change.")
FULL = click.option("--full", is_flag=True, help="Run every role on every server, also where nothing is to be done.")
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan to FILE, for `provision --plan FILE`.",
)
PLAN = click.option(
    "--plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Do at most what this plan says; refuse if more is to be done by now.",
)
BATCH = click.option(
    "--batch",
    default="1",
    metavar="N|N%",
    show_default=True,
    callback=lambda context, option, value: _batch(value),
    help="Serving servers that are changed at a time, after one alone.",
)
MAX_FAIL = click.option(
    "--max-fail",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    show_default=True,
    help="Servers that may fail before the run stops.",
)
INVENTORY = click.argument("inventory", callback=lambda context, argument, value: _named(value))
HOSTS = click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
NOTE = click.option("--note", default="", metavar="TEXT", help="Why; `status` shows it.")
NO_WAIT = click.option("--no-wait", "wait", flag_value=False, default=True, help="Do not wait for the requests it has.")
FORCE = click.option("--force", is_flag=True, help="Also when fewer than deepgram_min_serving would go on serving.")
DEAD = click.option("--dead", is_flag=True, help="The server does not answer any more: nothing is asked of it.")
WIPE = click.option("--wipe", is_flag=True, help="Remove what Deepgram left on it, models and key too.")
GREEN = click.option("--blue-green", "green", default="", metavar="GROUP", help="Build this group, then switch to it.")
RELEASE = click.option("--release", default="", metavar="R", help="The release to run, such as release-260812.")
DRIVER = click.option(
    "--driver",
    default="",
    metavar="BRANCH|VERSION",
    help="The NVIDIA driver: a branch's newest version (595), or an exact one (580.178.04).",
)
WATCH = click.option(
    "--watch",
    is_flag=False,
    flag_value=5.0,
    default=0.0,
    type=click.FloatRange(0, 86400),
    callback=lambda context, option, value: _seconds(value),
    metavar="[SECONDS]",
    help="Show it again every so often (5 s).",
)
DEEP = click.option("--deep", is_flag=True, help="Also have NVIDIA's DCGM test the GPUs (dcgmi diag -r 1), in seconds.")
ACTION = click.argument("action", type=click.Choice(["add", "list", "revoke"]))
NAME = click.argument("name", default="")
SOME_HOSTS = click.argument("hosts", nargs=-1, metavar="[HOST...]")
EXPLAIN = click.option("--explain", is_flag=True, help="Say what known lines mean, and what to do.")
SINCE = click.option(
    "--since",
    default="1h",
    show_default=True,
    metavar="T",
    callback=lambda context, option, value: _since(value),
    help="How far back: 30s, 10m, 2h, 3d, or a time in UTC such as 2026-11-30T08:00.",
)
FOLLOW = click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
STREAMS = click.option("--streams", is_flag=True, help="How many live streams it holds at a time (the default).")
FILES = click.option("--files", is_flag=True, help="How many files a minute it transcribes at 100 times real time.")
SPOKEN = click.option("--tts", is_flag=True, help="How many texts a minute it speaks, the first sound within 200 ms.")


def _count(name: str, least: int, default: int, metavar: str, text: str, most: int = 100_000) -> Callable[[Any], Any]:
    return click.option(
        name, default=default, type=click.IntRange(least, most), metavar=metavar, show_default=True, help=text
    )


FOR = click.option(
    "--for", "program", type=click.Choice(["haproxy", "apache", "nginx"]), help="The program of your proxy."
)
PROXIES_OUTSIDE = _count(
    "--proxies", 1, 1, "N", "How many such proxies there are: they share the servers' limits.", most=64
)
REGION = click.option("--region", default="", metavar="R", help="Where the proxy is: servers elsewhere stand by.")
IMAGES = (
    click.option("--to", default="", metavar="FILE", help="save: the file to write."),
    click.option(
        "--arch",
        default="amd64",
        type=click.Choice(["amd64", "arm64"]),
        show_default=True,
        help="save: of the servers.",
    ),
    click.option(
        "--release", default="", metavar="R", help="Another release than the inventory's, before an upgrade to it."
    ),
    click.option("--each", is_flag=True, help="load: upload to each server from here, none from another."),
    click.option(
        "--port",
        default=9813,
        type=click.IntRange(1, 65535),
        metavar="N",
        show_default=True,
        help="load: where one server hands it to the others.",
    ),
)
WINDOWS = (
    _count("--window", 5, 30, "SECONDS", "How long each load is measured."),
    _count("--sustain", 10, 120, "SECONDS", "How long the load that is found has to last."),
    _count("--most", 1, 2000, "N", "The highest load that is tried."),
    _count("--file-seconds", 1, 300, "SECONDS", "How long the files are; short ones do not reach 100 times real time."),
)
PROMETHEUS = click.option(
    "--prometheus",
    default="",
    metavar="URL",
    help="A Prometheus of your own, which reads the servers as `export monitoring` has it.",
)
DAYS = _count("--days", 1, 28, "N", "How far back it looks.", most=366)
YES_SERVING = click.option(
    "--yes-serving", is_flag=True, help="Also a server that callers reach: their calls become slow, or are refused."
)
BREAK = click.option(
    "--break-lock",
    is_flag=True,
    help="Take the servers from the run that has them, and is known to be dead.",
)
COMPARE = click.option(
    "--compare", is_flag=True, help="Measure nothing: show what earlier benches found, by GPUs, model and release."
)
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask before changing servers.")


def _named(value: str) -> str:
    if not value:
        raise click.BadParameter("give the path of the inventory file")
    return value


def _seconds(value: float) -> float:
    if value != value:
        raise click.BadParameter("give a number of seconds")
    return value


def _since(value: str) -> str:
    from dgctl.base import moments

    try:
        moments.back(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _batch(value: str) -> str:
    from dgctl.rollout.rollout import Policy

    if not Policy.valid(value):
        raise click.BadParameter("give a number of servers, or a share such as 25%")
    return value


@click.group(context_settings=CONTEXT, cls=Commands)
@click.version_option(__version__, prog_name="dgctl")
def main() -> None:
    """Turns GPU servers that have Linux and SSH into a working Deepgram deployment, and keeps it working.

    Start with `dgctl init DIR`.

    Exit codes: 0 done; 1 bug in dgctl; 2 wrong usage; 3 invalid inventory or variables; 4 preflight failed;
    5 some hosts failed within the budget; 6 run halted by a failed host; 7 hosts unreachable, nothing else
    wrong; 8 verification failed; 9 another run holds the lock; 10 changes are pending; 130 interrupted.
    """


def _run(name: str, place: Path, options: dict[str, Any]) -> int:
    """Runs the verb of this name: the function `name` of dgctl/verbs/NAME.py."""
    gc.disable()  # what is imported stays to the end: a collection that walks through it again and again frees nothing
    from dgctl.run import session as frame
    from dgctl.run.options import Options

    module = importlib.import_module(f"dgctl.verbs.{name}")
    gc.freeze()
    gc.enable()
    session = frame.Session.of(name, place, getattr(module, "Options", Options), options, main.commands)
    return frame.main(session, getattr(module, name))


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """These options, in their order, for a command that is no verb on a deployment alone."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return wrap


def verb(*extra: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A verb on a deployment: INVENTORY, the common options, and `extra` ones."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def call(inventory: str, **options: Any) -> None:
            raise SystemExit(_run(function.__name__, Path(inventory), options))

        return main.command(name=function.__name__)(_with(INVENTORY, *OPTIONS, *extra)(call))

    return wrap


@main.command()
@click.argument("directory", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def init(directory: str, as_json: bool) -> None:
    """Write a new deployment into DIR: an inventory, its settings, its secrets."""
    raise SystemExit(_run("init", Path(directory), {"as_json": as_json}))


@main.command()
@click.argument("kind", type=click.Choice(["monitoring", "proxy", "unimrcp"]), metavar="monitoring|proxy|unimrcp")
@click.argument("place", metavar="INVENTORY", callback=lambda context, argument, value: _named(value))
@click.argument("folder", metavar="DIR")
@_with(FOR, PROXIES_OUTSIDE, REGION, *OPTIONS)
def export(kind: str, place: str, **options: Any) -> None:
    """Write files into DIR for programs of your own: a Prometheus and a Grafana, or the proxy before the servers.

    monitoring: scrape jobs, rules and dashboards. The servers' exporters answer the addresses in host_metrics_allow.

    proxy: the configuration of HAProxy, Apache or NGINX, with the same rules as a [proxy] of the inventory. The servers let
    in the addresses in deepgram_foreign_proxies.

    unimrcp: the settings of UniMRCP's Deepgram plugin. The servers listen for it at nginx_proxy_plain_port.
    """
    if (kind == "proxy") != bool(options["program"]):
        raise click.UsageError("`export proxy` needs --for haproxy, apache or nginx, and no other export has it")
    raise SystemExit(_run("export", Path(place), {**options, "kind": kind}))


@main.command()
@click.argument("action", type=click.Choice(["pull", "update", "save", "load"]), metavar="pull|update|save|load")
@click.argument("place", metavar="INVENTORY", callback=lambda context, argument, value: _named(value))
@click.argument("file", metavar="[FILE]", default="")
@_with(*IMAGES, BREAK, *OPTIONS)
def images(action: str, place: str, file: str, **options: Any) -> None:
    """Bring images to servers ahead; or to servers that reach no registry, as a file: `save`, then `load`.

    pull: have the servers pull their release, or --release, while they serve. No container is touched.

    update: have images.lock pin what the release's tags lead to now, as seen from this machine. `provision --full` has servers
    run it.

    save: take the images of these servers from the registry into FILE, on this machine, without Docker or Podman. Digests stay
    the registry's, and go into images.lock.

    load: check FILE, then bring it to the servers. It is uploaded once, to one of them; the others fetch it from that one (TLS,
    --port between them). Images are loaded where Docker or Podman runs, elsewhere by `provision`, which then asks no registry.
    """
    if (action == "save") != bool(options["to"]) or (action == "load") != bool(file):
        raise click.UsageError(
            "say `images save INVENTORY --to FILE`, `images load INVENTORY FILE`, or `images pull|update INVENTORY`"
        )
    raise SystemExit(_run("images", Path(place), {**options, "action": action, "file": file}))


@verb()
def validate() -> None:
    """Check the inventory and all variables, without touching a server."""


@verb()
def preflight() -> None:
    """Check that every server can become what the inventory says, without changing it."""


@verb(OUT, FULL)
def plan() -> None:
    """Inspect every server, and show what `provision` would do there and why. Changes nothing.

    Exit code 10 when something would change. -v shows what files would become.
    """


@verb(CHECK, YES, FULL, PLAN, BATCH, MAX_FAIL, BREAK)
def provision() -> None:
    """Make the servers match the inventory, then verify them.

    Inspects first, shows the plan and asks. Servers in sync are left out; on others only the roles run that have
    changed or drifted, and those that follow them. New servers are built and verified before a proxy sends them a
    request; serving ones are drained, changed, verified and undrained, a batch at a time.
    """


@verb(HOSTS, NOTE, NO_WAIT, FORCE, BREAK)
def drain() -> None:
    """Send servers no new requests, and wait until those that they have are finished.

    They stay drained until `undrain`; `provision` changes them, and leaves them drained. Refused (exit 6) where fewer than
    deepgram_min_serving servers of a profile would go on serving.
    """


@verb(HOSTS, BREAK)
def undrain() -> None:
    """Send requests to drained servers again."""


@verb(HOSTS, DEAD, WIPE, YES, BREAK)
def remove() -> None:
    """Remove servers: drain them, remove them from every proxy, stop them, and delete their lines."""


@verb(RELEASE, DRIVER, GREEN, YES, BATCH, MAX_FAIL, BREAK)
def upgrade() -> None:
    """Change to another release, another NVIDIA driver, or both: write it into the inventory, then provision a batch at a time.

    A driver is checked against the release and the GPUs first, and every server must be able to install it. Its holds are
    lifted for the change, and put back. Servers reboot only where nvidia_driver_reboot_allowed says so.

    With --blue-green GROUP only that group's servers are changed, without requests; once they are verified the
    proxies switch to them, and the others stay as they are, drained. The way back is the same with the other group.
    """


@verb(YES, BATCH, MAX_FAIL, BREAK)
def rollback() -> None:
    """Go back to the state that was verified before the last change, from the servers' own snapshots."""


@verb(ACTION, NAME)
def keys() -> None:
    """Say who may call: add a caller's key, list the callers, or revoke a key.

    A key is shown once, as it is added; the deployment holds its digest (group_vars/all/callers.yml), which `provision` takes to
    the proxies. To replace a key: add one of another name, provision, hand it over, revoke the old one, provision.
    """


@verb()
def verify() -> None:
    """Prove that every server works: driver, GPU in the container, models, TLS, a real transcript."""


@verb(DEEP)
def doctor() -> None:
    """Find out why servers are unhealthy: each finding with its cause and its fix. Changes nothing.

    Exit code 8 when a server is unhealthy.

    --deep needs DCGM on the server (nvidia_driver_dcgm). Its quickest tests put no load on the GPUs, and take seconds, at
    most two minutes; calls that are being served may disturb them. Drain the server first for a verdict to count on.
    """


@verb()
def audit() -> None:
    """For a reviewer: what listens where and for whom, who may read which secret, how old keys and certificates are.

    And what is unpinned. From the inventory and one probe of each server, which changes nothing and reads no secret.
    """


@verb()
def journal() -> None:
    """Fetch the usage journals of every server with Billing into journals/ beside the inventory, for Deepgram.

    Each is an archive (tar.gz) named after its server and the time (UTC); none replaces another. Changes nothing on a
    server, and needs no room there.
    """


@verb(SOME_HOSTS, SINCE, EXPLAIN, FOLLOW)
def logs() -> None:
    """Show what servers logged, in one stream by time: containers, NGINX, the kernel on GPUs, and our own units.

    Of every server, or of those that are named. Keys are masked. With --explain known lines come with their remediation; with
    --follow the stream goes on until Ctrl-C, with --json as one document a line.
    """


@verb(WATCH)
def status() -> None:
    """Show what runs on every server, and which of them get requests.

    With --watch it is shown again and again, with --json as one document a line; Ctrl-C ends it.
    """


@verb(SOME_HOSTS, STREAMS, FILES, SPOKEN, *WINDOWS, YES_SERVING, COMPARE, BREAK)
def bench() -> None:
    """Measure how many streams, or files or texts a minute, a server holds in the time that is promised, nothing lost.

    Servers must be drained; without a name, those that are drained are measured, one after the other. Load is doubled until
    it does not hold, then the gap is halved; close calls are asked again, and the result has to last. Changes nothing on the
    server. It ends in the limit to set; table, JSON and picture are stored in .dgctl/bench/ beside the inventory.
    """


@verb(PROMETHEUS, DAYS)
def capacity() -> None:
    """Show how full the servers are, when they will be, and what one server more or less changes.

    From the benches stored in .dgctl/bench/ and from the Prometheus of [monitoring], or that of --prometheus. What neither
    knows is a dash. Changes nothing, and asks no server that serves.
    """
