"""What an operator, the role and dgctl ask for. Each returns whether it changed anything."""

import files
import health
import marks
import members
import nginx
import secured
import watchdog
from settle import alone, settle


def drain(names, reason, note):
    """Marks servers as drained."""
    seen = health.look_at(members.strangers(files.configuration()), watchdog.out)
    with alone():
        changed = [marks.put(name, reason, note) for name in names]
        settle(files.configuration(), seen)
    return any(changed)


def undrain(names):
    """Takes marks away. Who answers well now serves at once, whatever was before."""
    config = files.configuration()
    secured.forget([files.key(node) for node in config["nodes"] if node["name"] in names])
    new = members.strangers(config)
    seen = health.look_at([node for node in config["nodes"] if node["name"] in names or node in new], watchdog.out)
    with alone():
        freed = [name for name in names if marks.remove(name)]
        forgotten = [*freed, *(files.key(node) for node in config["nodes"] if node["name"] in freed)]
        members.write({name: member for name, member in members.state().items() if name not in forgotten})
        settle(files.configuration(), seen)
    return bool(freed)


def render():
    """Brings the list up to date; servers that nobody has looked at yet are looked at."""
    seen = health.look_at(members.strangers(files.configuration()), watchdog.out)
    health.find_overflow(files.configuration())
    with alone():
        return settle(files.configuration(), seen)


def reload():
    """NGINX takes the files that somebody has changed."""
    with alone():
        pid, reported = nginx.master(), nginx.refusal()
        if pid is None or reported:
            raise files.Refused(f"nginx refuses its configuration: {reported}" if reported else "NGINX does not run")
        nginx.renew(pid)
    return True


def refreshed():
    """The report with what the servers say now; the watch alone decides what follows from it."""
    nodes = files.nodes()
    seen, found = health.look_at(nodes, watchdog.out), members.report()
    for name in {node["name"] for node in nodes}:
        found[name].update(members.together([seen[files.key(node)] for node in nodes if node["name"] == name]))
    return found
