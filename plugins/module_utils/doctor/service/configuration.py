"""The doctor on configurations: does each container run with the file that is on the server."""

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.components import folder, kind
from ansible.module_utils.deepgram.signatures import diagnose
from ansible.module_utils.doctor.check import Check, alike, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.containers import parts, recreate_fix
from ansible.module_utils.doctor.service.engine import running


def configuration(host):
    containers = {part: running(host, part)[0] for part in parts(host)}
    faults = {part: fault(host, part, container) for part, container in containers.items() if container}
    wrong = {part: found for part, found in faults.items() if found[0]}
    if wrong:
        seen = "; ".join(f"deepgram-{part} {words}" for part, (words, _) in wrong.items())
        return unhealthy(seen, alike([(part, cause) for part, (_, cause) in wrong.items()]), recreate_fix(host, *wrong))
    return healthy(f"{listed(faults)}: the file on the server") if faults else unknown("no container of ours runs")


def fault(host, part, container):
    """(what is wrong, why) with what a running container reads; ("", "") for nothing."""
    name = f"{kind(part)}.toml"
    path, inside = f"{folder(part)}/{part}/{name}", f"/proc/{container['pid']}/root/config"
    fallen = diagnose(host.start_log(part), {"default configuration"})
    if fallen:
        return "did not find its configuration, and runs with one of its own", f"it said at its start: {fallen.line}"
    outside = host.read(path)
    if outside and host.exists(inside) and host.read(f"{inside}/{name}") != outside:
        return (
            f"sees another file than {path}",
            "the directory was replaced under the mount: the container holds the old one",
        )
    written = host.modified(path)
    if written and container["started"] and written > moment(container["started"]) + 1:
        return f"runs with an older {path}", "the file was written after the container started"
    return "", ""


CHECKS = (
    Check(
        "configuration", configuration,
        "what each container said at its start of its configuration, the file that it sees under /config, and which is older",
        "the file on the server, read at the start",
        "the file was written after the container started",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate PART",
        True, ("config.same_file", "config.read_at_start", "config.own_configuration"), False,
        stands_on=("files:/etc/deepgram",),
    ),
)  # fmt: skip
