"""NGINX's main file, as Debian and as Enterprise Linux have it."""

from ansible.module_utils.proxy import nginx_main

from tests.paths import PROJECT

DEBIAN = """user www-data;
include /etc/nginx/modules-enabled/*.conf;
events {
    worker_connections 768;
}
http {
    include /etc/nginx/conf.d/*.conf;
}
"""
EL = (PROJECT / "lab/el/files/nginx.conf").read_text()
MAIN = "/etc/nginx/deepgram-main.conf"


def test_debian_s_file_changes_by_a_number_alone():
    path = "/etc/nginx/modules-enabled/90-deepgram.conf"
    assert nginx_main.settled(DEBIAN, 8192, path) == DEBIAN.replace("768", "8192")
    assert nginx_main.settled(DEBIAN, 500, path) == DEBIAN and nginx_main.settled(None, 500, path) is None


def test_enterprise_linux_gets_an_include_and_loses_its_welcome_page():
    text = nginx_main.settled(EL, 8192, MAIN)
    assert text.endswith(f"include {MAIN};\n") and "worker_connections 8192;" in text
    assert "listen" not in text and "include /etc/nginx/conf.d/*.conf;" in text and text.count("{") == text.count("}")
    assert nginx_main.settled(text, 8192, MAIN) == text


def test_an_include_within_a_block_or_a_comment_is_none():
    inside = DEBIAN.replace("include /etc/nginx/modules-enabled", "# include /etc/nginx/modules-enabled")
    assert nginx_main.included(inside, "/etc/nginx/conf.d/x.conf").count("include") == inside.count("include") + 1


def test_another_server_in_the_main_file_stays():
    own = EL.replace("/usr/share/nginx/html", "/srv/www")
    assert nginx_main.without_welcome(own) == own
    tls = EL.replace("listen       80;", "listen       443 ssl;")
    assert nginx_main.without_welcome(tls) == tls
