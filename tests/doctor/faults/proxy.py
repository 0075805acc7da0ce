"""The TLS proxy: who answers callers in place of the API, or that nobody does."""

import json

from tests.doctor.faults.table import fault

TEAPOT = "HTTP 418 from somebody else: another server block or program serves there"
# The words of nginx 1.26.3, which names the last of the two.
TWICE = "nginx: [emerg] a duplicate default server for 0.0.0.0:443 in /etc/nginx/conf.d/deepgram.conf:27\n"


@fault({"callers": "rm /etc/nginx/conf.d/00-foreign.conf"})
def another_site_takes_the_requests(patient):
    patient.proxy("foreign", TEAPOT, "server { listen 443 ssl; server_name gpu1; return 418; }\n")


@fault({"callers": "ss -ltnp"})
def another_program_takes_the_requests(patient):
    patient.proxy("foreign", TEAPOT)


@fault({"callers": "remove its default_server"})
def another_default_server(patient):
    """Callers are served until NGINX starts again."""
    patient.write("/etc/nginx/conf.d/00-foreign.conf", "server { listen 443 ssl default_server; return 418; }\n")
    patient.say("nginx", TWICE + "nginx: configuration file /etc/nginx/nginx.conf test failed\n", 1)


@fault({"callers": "correct what it names"})
def nginx_that_would_not_start_again(patient):
    patient.say("nginx", 'nginx: [emerg] unknown directive "x" in /etc/nginx/conf.d/mine.conf:1\n', 1)


@fault({"callers": "dgctl provision"})
def nginx_that_does_not_reach_its_api(patient):
    patient.proxy("nobody", "HTTP 503: no API takes requests")


@fault({"callers": "dgctl provision"})
def nginx_that_does_not_listen(patient):
    patient.callers = []


@fault({"callers": "dgctl undrain"})
def proxy_with_nobody_behind_it(patient):
    members = "/run/deepgram-upstreams/members.json"
    patient.proxy("nobody", "HTTP 503: no API takes requests", members=members)
    patient.write(members, json.dumps({"members": {"gpu1": {"state": "drained"}}}))
