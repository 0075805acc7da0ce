"""Faults of the service: NGINX, the Engine's limit and its answers, models, keys and what starts at boot."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

TOML, KEYS = "/etc/deepgram/engine/engine.toml", "/etc/deepgram/deepgram.env"
SITE, CERTIFICATE = "/etc/nginx/conf.d/deepgram.conf", "/etc/nginx/tls/deepgram"
MODEL = "$(find /var/lib/deepgram/models -name '*.dg' -o -name '*.dgv2' | sort | sed -n 1p)"
PROCESS = "$(docker inspect -f '{{.State.Pid}}' deepgram-engine)"


def put_back_and(target: Target, then: str) -> str:
    target.put_back()
    return target.sh(then)


@inject("nginx-masked")
def masked(target: Target) -> str:
    return target.sh("systemctl stop nginx; systemctl mask nginx")


@heal("nginx-masked")
def unmasked(target: Target) -> str:
    return target.sh("systemctl unmask nginx; systemctl enable --now nginx")


@inject("nginx-not-reloaded")
def newer(target: Target) -> str:
    """The site was written again, with the same content, after NGINX read it."""
    return target.sh(f"sleep 2; touch {SITE}; stat -c '%y %n' {SITE}")


@heal("nginx-not-reloaded")
def reloaded(target: Target) -> str:
    return target.sh("systemctl reload nginx; sleep 2; systemctl is-active nginx")


@inject("proxy-without-cap")
def no_cap(target: Target) -> str:
    target.keep(SITE)
    return target.sh(
        f"sed -i 's/ max_conns=[0-9]*//' {SITE}; systemctl reload nginx; sleep 2; grep -c max_conns {SITE} || true"
    )


@heal("proxy-without-cap")
def cap(target: Target) -> str:
    return put_back_and(target, "systemctl reload nginx; sleep 2; systemctl is-active nginx")


@inject("certificate-of-five-days")
def short(target: Target) -> str:
    target.keep(f"{CERTIFICATE}.crt")
    return target.sh(f"""
    name=$(openssl x509 -in {CERTIFICATE}.crt -noout -ext subjectAltName | tail -n 1 | tr -d ' ' | sed 's/IPAddress:/IP:/g')
    openssl req -x509 -key {CERTIFICATE}.key -days 5 -subj /CN=simulated -addext "subjectAltName=$name" -out {CERTIFICATE}.crt
    systemctl reload nginx; sleep 2; openssl x509 -in {CERTIFICATE}.crt -noout -enddate
    """)


@heal("certificate-of-five-days")
def long(target: Target) -> str:
    return put_back_and(target, "systemctl reload nginx; sleep 2; systemctl is-active nginx")


@inject("engine-hangs")
def hangs(target: Target) -> str:
    """It takes connections, as its kernel does for it, and says nothing."""
    return target.sh(f"kill -STOP {PROCESS}; docker ps --format '{{{{.Names}}}} {{{{.Status}}}}'")


@heal("engine-hangs")
def answers(target: Target) -> str:
    return target.sh("docker restart -t 5 deepgram-engine")


@inject("limit-under-a-table")
def misplaced(target: Target) -> str:
    """TOML takes a key behind a table's head for that table's."""
    target.keep(TOML)
    limit = f"$(grep '^max_active_requests' {TOML})"
    script = f"""
    limit="{limit}"
    sed -i -e '/^max_active_requests/d' -e "s/^\\[features\\]/[features]\\n$limit/" {TOML}
    docker restart -t 1 deepgram-engine
    """
    reported = target.sh(script)
    target.await_engine()
    return reported


@heal("limit-under-a-table")
def in_its_place(target: Target) -> str:
    reported = put_back_and(target, "docker restart -t 1 deepgram-engine")
    target.await_engine()
    return reported


@inject("model-truncated")
def truncated(target: Target) -> str:
    return target.sh(f"model={MODEL}; cp -p $model /root/model.whole; truncate -s 10 $model; ls -l $model")


@heal("model-truncated")
def whole(target: Target) -> str:
    return target.sh(f"if [ -e /root/model.whole ]; then mv /root/model.whole {MODEL}; fi; ls -l {MODEL}")


@inject("key-file-open")
def readable(target: Target) -> str:
    return target.sh(f"chmod 644 {KEYS}; ls -l {KEYS}")


@heal("key-file-open")
def private(target: Target) -> str:
    return target.sh(f"chmod 600 {KEYS}; ls -l {KEYS}")


@inject("boot-unit-disabled")
def disabled(target: Target) -> str:
    return target.sh("systemctl disable deepgram.service; systemctl is-enabled deepgram.service || true")


@heal("boot-unit-disabled")
def enabled(target: Target) -> str:
    return target.sh("systemctl enable deepgram.service; systemctl is-enabled deepgram.service")
