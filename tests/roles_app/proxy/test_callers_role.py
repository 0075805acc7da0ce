"""Who may call: what the role writes for it, and when."""

import hashlib

import pytest
import yaml

from tests.roles_app.conftest import ROOT
from tests.roles_app.rendering import render, value

DIGEST = hashlib.sha256(b"k" * 64).hexdigest()
KEYS = {"billing": {"sha256": DIGEST, "added": "2026-11-30"}}


def test_the_role_writes_digests_alone():
    content = value("nginx_proxy", "_nginx_proxy_callers_content", nginx_proxy_callers="keys", nginx_proxy_keys=KEYS)
    assert content == {"accept": "keys", "keys": {DIGEST: "billing"}}


def test_there_is_no_program_where_everybody_may_call():
    text = render("nginx_proxy", "deepgram.conf.j2", __nginx_proxy_packages={"installed": {"nginx": "1.26.3"}})
    assert "auth_request" not in text and "limit_" not in text and "Authorization" not in text
    tasks = yaml.safe_load((ROOT / "roles/nginx_proxy/tasks/main.yml").read_text())
    whens = {task["name"]: task.get("when") for task in tasks}
    assert whens["Callers"] == "_nginx_proxy_guarded | bool" and whens["No callers"] == f"not {whens['Callers']}"


@pytest.mark.parametrize(("family", "listen"), [("apt", "/run/deepgram-callers.sock"), ("dnf", "127.0.0.1:843")])
def test_where_programs_are_confined_nginx_asks_a_port(family, listen):
    families = yaml.safe_load((ROOT / "roles/platform/vars/main/families.yml").read_text())["_platform_families"]
    known = {"_platform_family": families[family], "nginx_proxy_callers": "keys"}
    packages = {"installed": {"nginx": "1.26.3"}}
    site = render("nginx_proxy", "deepgram.conf.j2", __nginx_proxy_packages=packages, **known)
    assert f"server {'unix:' if listen[0] == '/' else ''}{listen} max_fails=0;" in site
    unit = render("nginx_proxy", "deepgram-callers.socket.j2", **known)
    assert f"ListenStream={listen}\n" in unit
    assert ("SocketMode=0660" in unit and "SocketGroup=www-data" in unit) == (listen[0] == "/")
