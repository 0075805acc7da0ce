"""Ports: free, taken by a stranger, held by this deployment."""

import json
import os
import socket
import struct

import pytest
from ansible.module_utils.preflight import ports as preflight_ports

WANT = [{"port": 8080, "address": "127.0.0.1", "service": "deepgram_api_port"}]


@pytest.fixture
def proc(tmp_path):
    """proc(program, address, port): a /proc in which that program listens there; returns its path."""

    def write(program, host, port):
        word = f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}"
        row = f"   0: {word}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
        (tmp_path / "net").mkdir()
        (tmp_path / "net/tcp").write_text("header\n" + row + "\n")
        (tmp_path / "net/tcp6").write_text("header\n")
        (tmp_path / "123/fd").mkdir(parents=True)
        (tmp_path / "123/comm").write_text(program + "\n")
        (tmp_path / "123/cgroup").write_text("0::/system.slice/x.service\n")
        os.symlink("socket:[4711]", tmp_path / "123/fd/7")
        return str(tmp_path)

    return write


def verdict(desired, proc, nginx_config="/nonexistent"):
    (found,) = preflight_ports.ports(desired, nginx_config, proc)
    return found["verdict"], found["seen"]


def test_a_real_listener_is_found_and_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        want = [{"port": port, "address": "0.0.0.0", "service": "nginx_proxy_port"}]
        seen = verdict(want, "/proc")
        assert seen[0] == "fail" and f"pid {os.getpid()}" in seen[1]
    assert verdict(want, "/proc") == ("pass", "free")


def test_other_address_does_not_matter(proc):
    assert verdict(WANT, proc("httpd", "192.0.2.7", 8080))[0] == "pass"


def test_wildcard_listener_is_in_the_way(proc):
    assert verdict(WANT, proc("httpd", "0.0.0.0", 8080)) == ("fail", "held by httpd (pid 123)")


@pytest.mark.parametrize(("holder", "reported"), [("nginx", "pass"), ("apache2", "fail")])
def test_a_port_that_nginx_may_have_for_other_sites(proc, holder, reported):
    """Server blocks share a port: where an ACME authority asks, anybody's NGINX may be, and nobody else."""
    want = [{"port": 80, "address": "0.0.0.0", "service": "nginx_proxy_acme_http_port", "shared_by": "nginx"}]
    assert verdict(want, proc(holder, "0.0.0.0", 80))[0] == reported


def test_own_nginx_is_known_by_its_file(proc, tmp_path):
    want = [{"port": 443, "address": "0.0.0.0", "service": "nginx_proxy_port"}]
    root, config = proc("nginx", "0.0.0.0", 443), tmp_path / "deepgram.conf"
    assert verdict(want, root, str(config))[0] == "fail"
    config.write_text("server {\n  listen [::]:8443 ssl;\n  # listen 443\n}\n")
    assert verdict(want, root, str(config))[0] == "fail"
    config.write_text("server {\n  listen 443 ssl;\n}\n")
    assert verdict(want, root, str(config)) == ("pass", "held by this deployment")


def test_own_nginx_runs_on_when_a_hand_removed_its_file(proc, tmp_path, monkeypatch):
    """What the role recorded says that it is its own: the run is to put the file back."""
    want = [{"port": 443, "address": "0.0.0.0", "service": "nginx_proxy_port"}]
    root, config, record = proc("nginx", "0.0.0.0", 443), tmp_path / "deepgram.conf", tmp_path / "nginx_proxy.json"
    monkeypatch.setattr(preflight_ports, "RECORD", str(record))
    assert verdict(want, root, str(config))[0] == "fail"
    record.write_text(json.dumps({"things": {"files": {str(config): {"type": "file"}}}}))
    assert verdict(want, root, str(config)) == ("pass", "held by this deployment")


@pytest.mark.parametrize(("container", "expected"), [("deepgram-api", "pass"), ("somebody-api", "fail")])
def test_own_container_is_known_by_its_name(proc, program, container, expected):
    program("docker", f"[ \"$*\" = 'ps --filter publish=8080 --format {{{{.Names}}}}' ] && echo {container}\n")
    assert verdict(WANT, proc("docker-proxy", "127.0.0.1", 8080))[0] == expected


@pytest.mark.parametrize(
    ("running", "all_", "expected"),
    [
        ("", "0123456789ab_deepgram-api", "pass"),
        ("", "deepgram-api", "pass"),
        ("", "", "fail"),
        ("somebody-api", "deepgram-api", "fail"),
    ],
)
def test_own_container_that_is_just_starting_is_no_running_one(proc, program, running, all_, expected):
    program("docker", f'case "$*" in *--all*) echo {all_} ;; *) echo {running} ;; esac\n')
    assert verdict(WANT, proc("docker-proxy", "127.0.0.1", 8080))[0] == expected


@pytest.mark.parametrize(
    ("inspected", "expected"),
    [
        ("/deepgram-engine 8080 9991", "pass"),
        ("/deepgram-engine 18080 80", "fail"),
        ("/deepgram-engine", "fail"),
        ("/somebody-api 8080", "fail"),
    ],
)
def test_own_container_that_is_restarted_again_and_again_is_known_by_what_it_is_to_publish(
    proc, program, inspected, expected
):
    """Docker lists no ports of a container in state `restarting`; its docker-proxy of a moment ago held one."""
    program(
        "docker",
        'case "$*" in *publish=*) ;; "ps --all --quiet") echo 0123456789ab ;; '
        f"inspect*0123456789ab) echo '{inspected}' ;; *) exit 1 ;; esac\n",
    )
    assert verdict(WANT, proc("docker-proxy", "127.0.0.1", 8080))[0] == expected


@pytest.mark.parametrize(("container", "expected"), [("deepgram-api", "pass"), ("somebody-api", "fail")])
def test_own_podman_container_is_known_by_its_monitor(proc, tmp_path, container, expected):
    root = proc("conmon", "127.0.0.1", 8080)
    (tmp_path / "123/cmdline").write_text(f"/usr/bin/conmon\0-c\0abc\0-n\0{container}\0--exit-dir\0/run\0")
    assert verdict(WANT, root)[0] == expected


def test_addresses_of_the_kernel():
    loopback = f"{struct.unpack('=I', socket.inet_aton('127.0.0.1'))[0]:08X}"
    assert preflight_ports.address(loopback) == "127.0.0.1"
    assert preflight_ports.address("0" * 32) == "::"
