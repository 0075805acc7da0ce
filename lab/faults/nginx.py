"""Faults of NGINX: down, masked, not reloaded, out of connections or of descriptors, refused by its own test."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

SITE, MAIN = "/etc/nginx/conf.d/deepgram.conf", "/etc/nginx/nginx.conf"
OTHER = "/etc/nginx/conf.d/other-team.conf"
RELOAD = "nginx -t && systemctl reload nginx; sleep 2; systemctl is-active nginx"
PID = "$(systemctl show -P MainPID nginx)"
CROWD = "lab-crowd"
# Callers who connect and say nothing, which NGINX closes after client_header_timeout: they come again.
HOLD = """
import socket, time
while True:
    held = []
    for _ in range(96):
        try:
            held.append(socket.create_connection(("127.0.0.1", 443), 1))
        except OSError:
            pass
    time.sleep(5)
    for one in held:
        one.close()
"""


@inject("nginx-masked")
def masked(target: Target) -> str:
    return target.sh("systemctl stop nginx; systemctl mask nginx")


@heal("nginx-masked")
def unmasked(target: Target) -> str:
    return target.sh("systemctl unmask nginx; systemctl enable --now nginx")


@inject("nginx-stopped")
def stopped(target: Target) -> str:
    return target.sh("systemctl stop nginx; systemctl is-active nginx || true")


@heal("nginx-stopped")
def started(target: Target) -> str:
    return target.sh("systemctl start nginx; systemctl is-active nginx")


@inject("nginx-not-reloaded")
def newer(target: Target) -> str:
    """The site was written again, with the same content, after NGINX read it."""
    return target.sh(f"sleep 2; touch {SITE}; stat -c '%y %n' {SITE}")


@heal("nginx-not-reloaded")
def reloaded(target: Target) -> str:
    return target.sh(RELOAD)


@inject("nginx-out-of-connections")
def crowded(target: Target) -> str:
    """Room for 32 connections a worker, and more callers than that."""
    target.keep(MAIN)
    return target.sh(f"""
    sed -i 's/worker_connections [0-9]*;/worker_connections 32;/' {MAIN}
    {RELOAD}
    systemd-run --quiet --unit={CROWD} /usr/bin/python3 -c '{HOLD}'
    sleep 3; for worker in $(cat /proc/{PID}/task/{PID}/children); do ls /proc/$worker/fd | wc -l; done
    """)


@heal("nginx-out-of-connections")
def roomy(target: Target) -> str:
    target.put_back()
    return target.sh(f"systemctl stop {CROWD} 2>/dev/null || true; {RELOAD}")


@inject("nginx-out-of-descriptors")
def without_descriptors(target: Target) -> str:
    """Its workers may open no file more than they have."""
    return target.sh(f"""
    for worker in $(cat /proc/{PID}/task/{PID}/children); do
        runuser -u $(stat -c %U /proc/$worker) -- prlimit --pid $worker --nofile=$(ls /proc/$worker/fd | wc -l):
        grep 'open files' /proc/$worker/limits
    done
    """)


@heal("nginx-out-of-descriptors")
def with_descriptors(target: Target) -> str:
    return target.sh(RELOAD)


@inject("nginx-refuses-its-files")
def refuses(target: Target) -> str:
    """Another team's site has a mistake: NGINX goes on with what it has read, and would not start again."""
    return target.sh(f"echo 'server {{ listen 8089; proxy_pas http://127.0.0.1:1; }}' > {OTHER}; nginx -t 2>&1 || true")


@inject("second-default-server")
def second_default(target: Target) -> str:
    """Another team's site claims to be the default of our port."""
    return target.sh(f"""
    printf 'server {{\\n    listen 443 ssl default_server;\\n    return 404;\\n}}\\n' > {OTHER}
    nginx -t 2>&1 || true
    """)


@heal("nginx-refuses-its-files")
@heal("second-default-server")
def without_others(target: Target) -> str:
    return target.sh(f"rm -f {OTHER}; {RELOAD}")


@inject("proxy-without-cap")
def no_cap(target: Target) -> str:
    target.keep(SITE)
    return target.sh(
        f"sed -i 's/ max_conns=[0-9]*//' {SITE}; systemctl reload nginx; sleep 2; grep -c max_conns {SITE} || true"
    )


@heal("proxy-without-cap")
def cap(target: Target) -> str:
    target.put_back()
    return target.sh(RELOAD)
