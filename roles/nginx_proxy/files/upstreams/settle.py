"""What is known of the servers becomes the list that NGINX works with; one at a time does that."""

import contextlib
import fcntl
import hashlib
import json
import math
import os

import files
import marks
import members
import nginx
import server_list


@contextlib.contextmanager
def alone():
    """One at a time changes marks, state and NGINX."""
    os.makedirs(files.RUN, mode=0o755, exist_ok=True)
    with open(f"{files.RUN}/lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        nginx.keep_again()  # who held the lock before may have been killed
        yield


def settle(config, seen, most_s=math.inf):
    """Takes looks in and brings NGINX up to date; for use under the lock. `most_s`: see nginx.closing()."""
    drained = marks.read()
    now = members.learn(config, seen, drained)
    tell_balancers(config, now, drained)
    changed = serve(server_list.rendered(config, now, drained), most_s)
    files.write(f"{files.RUN}/members.json", json.dumps({"members": members.report()}))
    return changed


def tell_balancers(config, now, drained):
    """The site answers /healthz with 200 while this file is there: while any server that is not drained is up."""
    path = f"{files.RUN}/serving"
    up = any(now.get(files.key(node), {}).get("up") for node in config["nodes"] if node["name"] not in drained)
    if up and not os.path.exists(path):
        files.write(path, "")
    elif not up:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def serve(text, most_s):
    """Puts the list in place and NGINX to work with it; True when that was needed. A refused one leaves no trace."""
    path, sum_ = f"{files.KEPT}/upstreams.conf", hashlib.sha256(text.encode()).hexdigest()
    before, pid = files.read(path), nginx.master()
    if before == text and (pid is None or files.read(f"{files.RUN}/live") == sum_):
        return False
    if before != text:
        files.write(path, text)
    if pid is not None:
        reported = nginx.refusal()
        if reported:
            if before is not None:
                files.write(path, before)
            raise files.Refused(f"nginx refuses its configuration: {reported}")
        nginx.renew(pid, most_s)
        files.write(f"{files.RUN}/live", sum_)
    return before != text
