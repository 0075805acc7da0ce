"""Faults of what the containers run with: a file edited, missing or replaced under the mount, another image, one that ended."""

from __future__ import annotations

from lab.faults.containers import AGAIN, OF_COMPOSE, ON_CPU, recreate_engine
from lab.faults.registry import heal, inject
from lab.faults.target import Target

API, TOML = "/etc/deepgram/api", "/etc/deepgram/api/api.toml"
RESTART_API = "docker restart -t 1 deepgram-api"
OTHER = "simulated/self-hosted-engine:other"
STATUS = "http://127.0.0.1:8080/v1"
# An image made of the Engine's, with what $1 does to its files; nothing of the container's own environment is in it.
DERIVED = f"""
image=$(docker inspect -f '{{{{.Config.Image}}}}' deepgram-engine)
made=$(docker create "$image")
%s
docker commit --change 'LABEL org.opencontainers.image.version=other' $made {OTHER} >/dev/null
docker rm $made >/dev/null
{OF_COMPOSE}
sed "s#image: .*/self-hosted-engine@.*#image: {OTHER}#" "$directory/compose.yaml" > {ON_CPU}
"""
PAST_ITS_LIFE = """
docker cp $made:/usr/share/deepgram/release.json /root/release.json
sed -i 's/"beginning_of_support": "[^"]*"/"beginning_of_support": "2021-01-01T00:00:00+00:00"/' /root/release.json
docker cp /root/release.json $made:/usr/share/deepgram/release.json
rm /root/release.json
"""


def from_image(target: Target, change: str) -> str:
    """Recreates the Engine's container from another image."""
    target.sh(DERIVED % change)
    recreate_engine(target, ON_CPU)
    return target.sh(f"rm {ON_CPU}; sleep 3; docker ps -a --format '{{{{.Names}}}} {{{{.Image}}}} {{{{.Status}}}}'")


@inject("engine-of-another-image")
def another_image(target: Target) -> str:
    reported = from_image(target, "")
    target.await_engine()
    return reported


@inject("release-expired")
def expired(target: Target) -> str:
    """An Engine of a release whose certificates have ended: it refuses to start."""
    reported = from_image(target, PAST_ITS_LIFE)
    target.sh(AGAIN)
    return reported


@heal("engine-of-another-image")
@heal("release-expired")
def own_image(target: Target) -> str:
    if target.holds("[ \"$(docker inspect -f '{{.Config.Image}}' deepgram-engine)\" = " + OTHER + " ]"):
        recreate_engine(target)
        target.await_engine()
    return target.sh(
        f"docker rmi -f {OTHER} 2>/dev/null || true; docker inspect -f '{{{{.Config.Image}}}}' deepgram-engine"
    )


@inject("api-asks-another-engine")
def another_engine(target: Target) -> str:
    """The API's file names an Engine that is not there."""
    target.keep(TOML)
    return target.sh(f"""
    sed -i 's#https://engine:8080#https://engine-2:8080#' {TOML}
    {RESTART_API}
    for try in $(seq 30); do curl -s {STATUS}/status/engine && break; sleep 1; done
    """)


@heal("api-asks-another-engine")
def own_engine(target: Target) -> str:
    target.put_back()
    return connected(target)


@heal("api-blames-itself")
@heal("api-on-its-default")
def connected(target: Target) -> str:
    """Restarts the API, and waits until it has its Engine."""
    return target.sh(f"""
    {RESTART_API}
    for try in $(seq 60); do curl -s {STATUS}/status/engine | grep -q '"Connected"' && break; sleep 1; done
    curl -s {STATUS}/status/engine
    """)


@inject("api-blames-itself")
def blames_itself(target: Target) -> str:
    """Its Engine was away, and requests came meanwhile: it reports them for ever, for proxies send it no others now."""
    target.sh(f"""
    docker stop -t 1 deepgram-engine >/dev/null
    for try in $(seq 12); do curl -s -m 20 -X POST --data-binary @/etc/services {STATUS}/listen >/dev/null & done
    wait
    docker start deepgram-engine >/dev/null
    """)
    target.await_engine()
    return target.sh(f"sleep 3; curl -s {STATUS}/status")


@inject("api-on-its-default")
def on_default(target: Target) -> str:
    """Its file was away when it started, and is back."""
    return target.sh(f"""
    mv {TOML} /root/api.toml; {RESTART_API}; sleep 4; mv /root/api.toml {TOML}
    docker logs --tail 20 deepgram-api 2>&1 | grep 'Configuration file not found' | tail -n 1
    """)


@inject("api-stale-mount")
def stale_mount(target: Target) -> str:
    """The directory was replaced, as tools do that write a whole one and rename it: the container has the old one."""
    return target.sh(f"""
    cp -a {API} {API}.new; mv {API} {API}.old; mv {API}.new {API}
    rm -r {API}.old; docker exec deepgram-api ls -la /config
    """)


@heal("api-stale-mount")
def own_mount(target: Target) -> str:
    target.sh(
        f'{OF_COMPOSE}\ndocker compose -p "$project" --project-directory "$directory" up -d --no-deps --force-recreate api 2>&1'
    )
    return connected(target)


@inject("engine-paused")
def paused(target: Target) -> str:
    return target.sh("docker pause deepgram-engine; docker ps --format '{{.Names}} {{.Status}}'")


@heal("engine-paused")
def unpaused(target: Target) -> str:
    return target.sh("docker unpause deepgram-engine 2>/dev/null || true; docker ps --format '{{.Names}} {{.Status}}'")
