"""Server blocks in what `nginx -T` prints, and the one that takes another one's requests."""

import pytest

from tests.roles_app.conftest import load

SERVERS = load("module_utils/proxy", "nginx_servers")
OURS = "/etc/nginx/conf.d/deepgram.conf"
# In the form of `nginx -T` of nginx 1.26.3, Debian 13: each file after its name, with an empty line at its end.
DUMP = """# configuration file /etc/nginx/nginx.conf:
user www-data; # server { listen 443; server_name gpu1; }
events { worker_connections 768; }
http {
    map $a $b { default "{"; }
    include /etc/nginx/conf.d/*.conf;
}

"""


def file(path, text):
    return f"# configuration file {path}:\n{text}\n\n"


def dump(before="", after=""):
    own = "upstream all { server 127.0.0.1:8080; }\nserver {\n    listen 443 ssl default_server;\n    server_name gpu1;\n}"
    first = file("/etc/nginx/conf.d/00-foreign.conf", before) if before else ""
    return DUMP + first + file(OURS, own) + (file("/etc/nginx/conf.d/zz.conf", after) if after else "")


def test_the_blocks_of_a_configuration():
    text = dump(
        "# one\nserver {\n listen 443 ssl;\n listen [::]:8443;\n server_name GPU1 *.b.example;\n location / { return 418; } }"
    )
    foreign, own = SERVERS.servers(text)
    assert (foreign.path, foreign.line) == ("/etc/nginx/conf.d/00-foreign.conf", 2)
    assert foreign.listens == {("*", 443), ("*", 8443)} and "gpu1" in foreign.names
    assert own.path == OURS and own.listens == {("*", 443)}


TAKES = "server { listen %s; server_name %s; return 418; }"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (TAKES % ("443 ssl", "gpu1"), "", "00-foreign.conf"),
        (TAKES % ("0.0.0.0:443 ssl", "a.example GPU1"), "", "00-foreign.conf"),
        (TAKES % ("443 ssl", '"gpu1"'), "", "00-foreign.conf"),
        ("", TAKES % ("192.0.2.1:443 ssl", "gpu1"), "zz.conf"),
        ("", TAKES % ("443 ssl", "gpu1"), ""),  # NGINX ignores it
        (TAKES % ("443 ssl", "other.example"), "", ""),
        (TAKES % ("8443 ssl", "gpu1"), "", ""),
        (TAKES.replace("listen %s; ", "") % "gpu1", "", ""),  # port 80
        (TAKES % ("unix:/run/a.sock", "gpu1"), "", ""),
        ("stream { server { listen 443; } }", "", ""),
    ],
)
def test_who_takes_the_site_s_requests(before, after, path):
    found = SERVERS.rival(dump(before, after), OURS, 443, "gpu1")
    assert (found.path.rpartition("/")[2] if found else "") == path


def test_another_default_server_is_found_in_files_that_nginx_refuses(tmp_path):
    for folder in ("conf.d", "sites-enabled"):
        (tmp_path / folder).mkdir()
    own = tmp_path / "conf.d/deepgram.conf"
    own.write_text("server { listen 443 ssl default_server; }")
    assert SERVERS.other_default(str(tmp_path), str(own), 443) is None
    (tmp_path / "sites-enabled/mine").write_text(
        "\n\nserver { listen 80 default_server; listen [::]:443 ssl default_server; }"
    )
    found = SERVERS.other_default(str(tmp_path), str(own), 443)
    assert (found.path, found.line) == (str(tmp_path / "sites-enabled/mine"), 3)
    assert SERVERS.other_default(str(tmp_path), str(own), 8443) is None
