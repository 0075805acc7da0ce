"""Faults of the container engine and of the Engine's container."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import FIRST, QUADLET, Target

DAEMON = "/etc/docker/daemon.json"
ON_CPU = "/root/compose.yaml"
LIBCUDA = "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
# An Engine that cannot start ends, and is started again: waits until that is to be seen.
AGAIN = "for try in $(seq 60); do [ $(docker inspect -f '{{.RestartCount}}' deepgram-engine) -ge 2 ] && break; sleep 1; done\n"
# name, project's directory and file of the Engine's container, as Compose has written them down.
OF_COMPOSE = f"""
name=$(docker ps -a --format '{{{{.Names}}}}' | {FIRST})
label() {{ docker inspect -f "{{{{index .Config.Labels \\"com.docker.compose.$1\\"}}}}" "$name"; }}
directory=$(label project.working_dir) project=$(label project)
"""


def recreate_engine(target: Target, file: str = '"$directory/compose.yaml"') -> None:
    """Recreates the Engine's container; it may not run then."""
    if target.engine() == "podman":
        target.sh("systemctl daemon-reload; systemctl restart deepgram-engine.service || true")
        return
    # Removed first: Compose has been seen to wait for ever for a container that its restart policy starts meanwhile.
    compose = f'docker compose -p "$project" --project-directory "$directory" -f {file}'
    up = f"timeout 120 {compose} up -d --no-deps engine >/dev/null 2>&1 || true"
    target.sh(f'{OF_COMPOSE}\ndocker rm -f "$name" >/dev/null\n{up}')


def engine_works(target: Target) -> bool:
    """Whether the Engine's container sees its GPUs and has libcuda.so.1: somebody else may have healed it."""
    engine = target.engine()
    return target.holds(f"""
    name=$({engine} ps --format '{{{{.Names}}}}' | {FIRST})
    [ -n "$name" ] && {engine} exec $name sh -c 'nvidia-smi -L && [ -e {LIBCUDA} ]' >/dev/null 2>&1
    """)


def mend_engine(target: Target) -> str:
    """Recreates the Engine's container unless it works already."""
    if engine_works(target):
        return "The Engine's container has its GPUs."
    recreate_engine(target)
    target.await_engine()
    return "The Engine's container was recreated, with its GPUs."


@inject("engine-on-cpu")
def on_cpu(target: Target) -> str:
    """Somebody started it without a GPU, with a libcuda.so.1 that is only a file, as some images bring their own."""
    mount = f"{LIBCUDA}:{LIBCUDA}:ro"
    if target.engine() == "podman":
        target.keep(QUADLET)
        target.sh(f"sed -i 's#^AddDevice=.*#Volume={mount}#' {QUADLET}")
        recreate_engine(target)
        return f"{QUADLET} has no AddDevice, and the Engine was restarted."
    target.sh(f"""{OF_COMPOSE}
    sed -e '/^    deploy:/,/driver: cdi/d' -e '0,/^    volumes:/s#^    volumes:#&\\n      - {mount}#' \
        "$directory/compose.yaml" > {ON_CPU}
    """)
    recreate_engine(target, ON_CPU)
    return target.sh(f'{OF_COMPOSE}\nrm {ON_CPU}; echo "$name was recreated without a device."')


@heal("engine-on-cpu")
def on_gpu(target: Target) -> str:
    target.put_back()
    return mend_engine(target)


@inject("nvml-unknown-error")
def unknown_error(target: Target) -> str:
    """The container's device nodes stay and cannot be opened: what a rewritten device cgroup looks like from inside."""
    return target.sh(f"""
    name=$({target.engine()} ps --format '{{{{.Names}}}}' | {FIRST})
    dev=/proc/$({target.engine()} inspect -f '{{{{.State.Pid}}}}' $name)/root/dev
    for node in $dev/nvidia[0-9]* $dev/nvidiactl; do rm $node; mknod -m 666 $node c 195 255; done
    {target.engine()} exec $name nvidia-smi || true
    """)


@heal("nvml-unknown-error")
def known_again(target: Target) -> str:
    return mend_engine(target)


@inject("docker-runtime-lost")
def runtime_lost(target: Target) -> str:
    """Another tool wrote daemon.json whole."""
    target.keep(DAEMON)
    target.sh(f"""/usr/bin/python3 - <<'END'
import json
settings = json.load(open("{DAEMON}"))
settings.get("runtimes", {{}}).pop("nvidia", None)
settings.get("features", {{}}).pop("cdi", None)
open("{DAEMON}", "w").write(json.dumps({{k: v for k, v in settings.items() if v != {{}}}}, indent=2) + "\\n")
END
systemctl reset-failed docker.service || true
systemctl restart docker.service""")
    return target.sh("docker info --format '{{json .Runtimes}}'")


@inject("daemon-json-malformed")
def malformed(target: Target) -> str:
    """Somebody's last edit left a comma too many. The running daemon has not read it yet."""
    target.keep(DAEMON)
    target.sh(f"sed -i '0,/{{/s//{{\\n  \"debug\": true,,/' {DAEMON}")
    return target.sh(f"/usr/bin/python3 -m json.tool {DAEMON} || true")


@heal("docker-runtime-lost")
@heal("daemon-json-malformed")
def daemon_json(target: Target) -> str:
    paths = target.put_back()
    target.sh("systemctl reset-failed docker.service || true; systemctl restart docker.service")
    return f"{', '.join(paths)} is as it was, and Docker was restarted."
