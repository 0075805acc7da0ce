#!/usr/bin/python
"""Puts a site of NGINX in place, after the whole configuration was tested with it."""

from __future__ import annotations

DOCUMENTATION = """
module: nginx_site
short_description: Puts a site of NGINX in place after testing it, and serves it
description:
  - Copies /etc/nginx, changes the copy, and has nginx test it. Only then the files go live, each whole or not at all.
  - NGINX then runs, now and at boot, with these files. A reload succeeds even if NGINX cannot use its new files; so
    it ends with a look at the certificate that clients get.
  - The system's welcome page is switched off, because it takes port 80; other sites stay as they are. One that takes this
    site's requests is named, and the module fails.
  - In NGINX's main file the number of connections is raised, O(main_path) included where no folder of it is, and the
    welcome page's server taken out; the rest of it is the system's, or its owner's. One that is gone comes out of its
    package, without the package's scripts, because they restart NGINX; in check mode nothing is tested then.
options:
  path:
    description: The site's file.
    type: path
    required: true
  content:
    description: What it holds.
    type: str
    required: true
  certificate:
    description: Where the certificate is, or is put.
    type: path
    required: true
  key:
    description: Where the certificate's key is, or is put, readable by root alone.
    type: path
    required: true
  certificate_content:
    description: The certificate chain in PEM, if it is to be put there.
    type: str
  key_content:
    description: The key in PEM, if it is to be put there.
    type: str
  client_ca:
    description: Where the authority of callers' certificates is put.
    type: path
  client_ca_content:
    description: Its certificate in PEM; without it a file there is removed once nothing names it.
    type: str
  api_ca:
    description: Where the authority of the APIs' certificates is, in whose file somebody else puts it.
    type: path
  main_path:
    description: File for directives that stand outside of every block.
    type: path
  main_content:
    description: What it holds.
    type: str
  worker_connections:
    description: Connections that a worker of NGINX may hold; a smaller number in nginx.conf is raised.
    type: int
  includes:
    description: Files from elsewhere that the site includes. In check mode, while one is missing, nothing is tested.
    type: list
    elements: path
    default: []
  read_too:
    description: Files from elsewhere that a reload is needed for when they change.
    type: list
    elements: path
    default: []
  absent:
    description: Files that are removed once nothing names them.
    type: list
    elements: path
    default: []
  reload:
    description: Command that has a running NGINX take its files, instead of C(systemctl reload nginx).
    type: list
    elements: str
    default: []
  port:
    description: Port at which the site is served.
    type: int
    required: true
  server_name:
    description: Name that clients ask for.
    type: str
    required: true
  paths:
    description: Paths of the site; each must be answered by this site, whatever the servers behind it say.
    type: list
    elements: str
    default: []
  timeout_s:
    description: Seconds to wait until clients get the certificate.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: For the site's file alone.
"""
EXAMPLES = """
- name: Put a site in place
  nginx_site:
    path: /etc/nginx/conf.d/deepgram.conf
    content: "{{ lookup('ansible.builtin.template', 'deepgram.conf.j2') }}"
    certificate: /etc/nginx/tls/deepgram.crt
    key: /etc/nginx/tls/deepgram.key
    port: 443
    server_name: gpu1.example.com
"""
RETURN = """
own_default:
  description: Whether a site of somebody's own lies where Debian has its welcome page; it stays.
  returned: success
  type: bool
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import glob
import os
import shutil
import stat
import subprocess
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.tls import first_certificate, served_certificate
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.systemd import expect_success, properties
from ansible.module_utils.host.units import is_active, is_enabled
from ansible.module_utils.host.whole_file import is_ours, write
from ansible.module_utils.packages.files import packaged
from ansible.module_utils.proxy import serving as proxy_serving
from ansible.module_utils.proxy.nginx_main import settled
from ansible.module_utils.proxy.nginx_servers import other_default, rival

ROOT = "/etc/nginx"
MAIN = f"{ROOT}/nginx.conf"
WELCOME = f"{ROOT}/sites-enabled/default"
PID = "/run/nginx.pid"
UNIT = "nginx.service"


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def changes(params, main):
    """(path, content, mode) of the files that are not as they should be; the site's own last. `main`: the main file's text."""
    desired = [
        (params["key"], params["key_content"], 0o600),
        (params["certificate"], params["certificate_content"], 0o644),
        (params["client_ca"], params["client_ca_content"], 0o644),
        (MAIN, settled(main, params["worker_connections"], params["main_path"]), 0o644),
        (params["main_path"], params["main_content"], 0o644),
        (params["path"], params["content"], 0o644),
    ]
    return [entry for entry in desired if entry[1] is not None and not is_so(*entry)]


def orphaned(params):
    """The authority of callers' certificates, where none is wanted any more, and what is to be absent."""
    path = params["client_ca"]
    missing = [path] if path and params["client_ca_content"] is None else []
    return [path for path in [*missing, *params["absent"]] if os.path.exists(path)]


def is_so(path, content, mode):
    """Whether a file has this content and mode, and belongs to whom the module runs as."""
    return read(path) == content and stat.S_IMODE(os.stat(path).st_mode) == mode and is_ours(os.stat(path))


def test(files):
    """What nginx says against its whole configuration with these files in it; an empty string if nothing."""
    scratch = tempfile.mkdtemp()  # 0700: it holds the key
    try:
        stage = os.path.join(scratch, "nginx")
        shutil.copytree(ROOT, stage, symlinks=True)
        for path, content, mode in files:
            write(path.replace(ROOT, stage, 1), content, mode)
        if os.path.islink(f"{stage}/sites-enabled/default"):
            os.unlink(f"{stage}/sites-enabled/default")
        for path in glob.glob(f"{stage}/**/*", recursive=True):
            # A link leads to the live file, which stays as it is.
            if os.path.isfile(path) and not os.path.islink(path) and not path.endswith((".crt", ".key", ".pem")):
                with open(path, errors="surrogateescape") as file:
                    text = file.read()
                if ROOT in text:
                    with open(path, "w", errors="surrogateescape") as file:
                        file.write(text.replace(ROOT, stage))
        done = subprocess.run(["nginx", "-t", "-q", "-c", f"{stage}/nginx.conf"], capture_output=True, text=True)
        return "" if done.returncode == 0 else done.stderr.replace(stage, ROOT).strip()
    finally:
        shutil.rmtree(scratch)


def started_last():
    """When the newest process of NGINX started (seconds since 1970); a reload makes new ones. None: not running."""
    master = (read(PID) or "").strip()
    children = read(f"/proc/{master}/task/{master}/children") if master else None
    if children is None:
        return None
    boot = time.time() - float(read("/proc/uptime").split()[0])
    lines = [read(f"/proc/{pid}/stat") for pid in [master, *children.split()]]
    return max(boot + int(line.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK") for line in lines if line)


def reload_needed(params):
    """Whether a file is newer than NGINX's newest worker. A date in the future says nothing."""
    started = started_last()
    if started is None:
        return False
    paths = [params["path"], params["certificate"], params["key"], params["main_path"], params["client_ca"],
             params.get("api_ca"), MAIN, *params["read_too"]]  # fmt: skip
    times = [os.stat(path).st_mtime for path in paths if path and os.path.exists(path)]
    return any(started < moment <= time.time() for moment in times)


def apply(module):
    """(changed, reload needed); fails when nginx refuses."""
    params, main = module.params, read(MAIN)
    if main is None and module.check_mode:
        return True, True
    if main is None:
        main = packaged(MAIN, lambda what, fix: fail(module, what, fix))
    files = changes(params, main)
    welcome, orphan = os.path.islink(WELCOME), orphaned(params)
    if not files and not welcome and not orphan:
        return False, reload_needed(params)
    complete = all(os.path.exists(path) for path in [params["key"], *params["includes"]])
    if shutil.which("nginx") and os.path.isdir(ROOT) and (not module.check_mode or complete):
        reported = test(files)
        if reported:
            refused(module, reported, "nothing was changed on the server")
    if module.check_mode:
        return True, True
    for path, content, mode in files:
        write(path, content, mode)
    for path in ([WELCOME] if welcome else []) + orphan:
        os.unlink(path)
    return True, True


def own(module):
    """Fails where NGINX would refuse its configuration, or give this site's requests to another site."""
    params = module.params
    rc, out, err = run(["nginx", "-T"])
    if rc != 0 and module.check_mode:
        return  # what is still to come may be what it lacks
    if rc != 0:
        refused(module, err, "callers are served by the configuration of before until NGINX starts again")
    other = rival(out, params["path"], params["port"], params["server_name"])
    if other:
        fail(
            module,
            f"{other.path}:{other.line}: this server block takes the requests to {params['server_name']}:{params['port']} "
            f"from {params['path']}",
            f"remove {other.path}, or give its server another server_name or port, then run again",
            other.path,
        )


def refused(module, reported, state):
    """Fails with what nginx says against its configuration."""
    params = module.params
    lines = [line for line in reported.splitlines() if "[emerg]" in line] or reported.splitlines()
    what, fix = f"nginx refuses the configuration: {' | '.join(lines[:3])}", "correct what it names"
    other = other_default(ROOT, params["path"], params["port"]) if "duplicate default server" in reported else None
    if other:
        what = (
            f"{other.path}:{other.line}: this server block says to be the default server of port {params['port']}, "
            f"which {params['path']} is"
        )
        fix = f"remove `default_server` in {other.path}, or give its server another port"
    fail(module, what, f"{fix}; {state}")


def serve(module, reload):
    """Has NGINX run with the files as they are, now and at boot; True when something was done, or would be."""
    seen = properties(UNIT, "ActiveState", "UnitFileState")
    active, enabled = is_active(seen), is_enabled(seen)
    if not module.check_mode:
        for due, verb in ((not active, "start"), (active and reload, "reload"), (not enabled, "enable")):
            if due:
                made(module, verb)
    return reload or not enabled or not active


def made(module, verb):
    """Starts, reloads or enables NGINX."""
    command = (verb == "reload" and module.params["reload"]) or ["systemctl", verb, UNIT]
    fix = "see `journalctl -u nginx` on the server; a port that something else holds is the usual cause"
    expect_success(module, UNIT, fix, command, run(command, timeout=120))


def fault(params):
    """What is wrong with what the port serves, or an empty string."""
    try:
        served = served_certificate("127.0.0.1", params["port"], params["server_name"])
    except OSError as error:
        return f"does not answer: {error}"
    same = served == first_certificate(params["certificate"])
    return "" if same else "serves another certificate than the one in the file"


def stranger(params):
    """What is wrong with the site's paths, where another site or program answers; an empty string for nothing."""
    tls = {"address": "127.0.0.1", **{key: params[key] for key in ("port", "server_name", "certificate", "paths")}}
    reported = proxy_serving.answers(proxy_serving.start(tls))
    return next((f"{path}: {wrong}" for path, kind, wrong in reported if kind == proxy_serving.FOREIGN), "")


def lasting(judge, params):
    """What `judge` still finds wrong when the time is over; "" as soon as it finds nothing."""
    end = time.monotonic() + params["timeout_s"]
    wrong = judge(params)
    while wrong and time.monotonic() < end:
        time.sleep(0.1)
        wrong = judge(params)
    return wrong


def prove_own(module):
    """Fails unless this site answers; True when NGINX had to be told to read its files again."""
    params = module.params
    wrong = stranger(params)
    if not wrong:
        return False
    # The files are right, so it runs with those of before: somebody took a file away and did not reload.
    made(module, "reload")
    wrong = lasting(stranger, params)
    if wrong:
        port = params["port"]
        fix = f"see `nginx -T` and `ss -ltnp 'sport = :{port}'` on the server for who serves there, and end it"
        fail(module, f"127.0.0.1:{port}{wrong}", fix, wrong)
    return True


def prove(module):
    """Fails unless clients get the certificate within the time."""
    params = module.params
    wrong = lasting(fault, params)
    if wrong:
        port = params["port"]
        fix = f"see `journalctl -u nginx` and `ss -ltnp 'sport = :{port}'` on the server for what holds the port"
        module.fail_json(msg=f"127.0.0.1:{port} {wrong} ({params['certificate']}). Fix: {fix}.", fix=fix)


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "certificate": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "certificate_content": {"type": "str"},
            "key_content": {"type": "str", "no_log": True},
            "client_ca": {"type": "path"},
            "client_ca_content": {"type": "str"},
            "api_ca": {"type": "path"},
            "main_path": {"type": "path"},
            "main_content": {"type": "str"},
            "worker_connections": {"type": "int"},
            "includes": {"type": "list", "elements": "path", "default": []},
            "read_too": {"type": "list", "elements": "path", "default": []},
            "absent": {"type": "list", "elements": "path", "default": []},
            "reload": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "required": True},
            "server_name": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "default": []},
            "timeout_s": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    before = read(module.params["path"]) or ""
    changed, reload = apply(module)
    own(module)
    changed |= serve(module, reload)
    if not module.check_mode:
        prove(module)
        changed |= prove_own(module)
    diff = {"before": before, "after": module.params["content"], "before_header": module.params["path"]}
    own_default = os.path.lexists(WELCOME) and not os.path.islink(WELCOME)
    module.exit_json(changed=changed, diff=diff, own_default=own_default)


if __name__ == "__main__":
    main()
