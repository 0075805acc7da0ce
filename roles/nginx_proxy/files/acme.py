#!/usr/bin/python3
"""Has certbot order NGINX's certificate from an ACME authority (RFC 8555), renews it, and has NGINX serve it.

  deepgram-acme renew [CONFIG]     orders what is missing or due, then deploys; a timer calls it twice a day
  deepgram-acme deploy [CONFIG]    puts what certbot has in NGINX's place, tests, reloads (certbot's deploy hook)
  deepgram-acme due [CONFIG]       JSON: what `renew` would do, {"order": why or "", "deploy": true or false}

Whether a certificate is due this program says, and not certbot, whose rule differs from version to version: 30 days before its
end, or at half its life where that is shorter. All settings, secrets among them, stand in files that root alone can read.
Exit codes: 0 done; 1 the authority, certbot or NGINX said no, and stderr says why and what to do.
"""

import calendar
import fcntl
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

CONFIG = "/etc/deepgram-acme/acme.json"
DAY_S = 86400
EARLY_S = 30 * DAY_S  # before its end: Let's Encrypt's own advice for 90 days (letsencrypt.org/docs/integration-guide)
ORDER_S = 1200  # a hook may wait for DNS to spread
SERVED_S = 20
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
HOOK = re.compile(r"Hook '--manual-(\w+)-hook' for (\S+) reported error code (\d+)")
PROBLEM = re.compile(r"Domain: +(\S+)\s+Type: +(\S+)\s+Detail: +(.+)")  # as certbot prints RFC 8555's problem documents
KIND = re.compile(r"urn:ietf:params:acme:error:(\w+)")
NOISE = (
    "Ask for help",
    "Saving debug log",
    "Hint:",
    "Some challenges have failed",
    "An unexpected error occurred",
    "- - -",
)
REACH = "let {name} lead here in DNS, and port {http} of that address to this server, from wherever the authority asks"
# RFC 8555, section 6.7: what went wrong, and what helps.
FIXES = {
    "connection": REACH,
    "unauthorized": REACH + "; another server that answers there is the usual cause",
    "incorrectResponse": REACH + "; another server that answers there is the usual cause",
    "dns": "give {name} an address in the DNS that the authority asks",
    "caa": "let the CAA records of {name} name this authority, or order from the one that they name",
    "rateLimited": "wait until the limit is over; try with the authority's staging directory first",
    "rejectedIdentifier": "ask an authority that signs this name, or set nginx_proxy_acme_names to names that it signs",
    "externalAccountRequired": "set nginx_proxy_acme_eab_kid and nginx_proxy_acme_eab_hmac_key as the authority gave them "
    "(some take each pair once)",
    "accountDoesNotExist": "the authority has forgotten the account: rm -r {accounts}",
    "unauthorizedDns": "look at what nginx_proxy_acme_dns_hook did: it must set the TXT record _acme-challenge.{name}, wait "
    "until the authority sees it, and leave the records of other names and proxies alone",
}
UNTRUSTED = "set nginx_proxy_acme_ca_file to a PEM file with the authority that signed the directory's own certificate"
UNREACHABLE = "let this server reach {server}: DNS, firewall, and what the address is (nginx_proxy_acme_directory_url)"


class Failed(Exception):
    """(what is wrong, what to do)."""


def read(path):
    """A file's text; "" where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def write(path, text, mode):
    """Replaces a file at once; it never has more rights than these."""
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(handle, mode)
            stream.write(text)
            stream.flush()
            os.fsync(handle)
        os.replace(new, path)
    finally:
        if os.path.exists(new):
            os.unlink(new)


def state_of(config):
    """What the last orders came to: {ordered, tried, since, error, fix}; moments in seconds since 1970."""
    try:
        return json.loads(read(config["state"]) or "{}")
    except ValueError:
        return {}


def note(config, **changes):
    write(config["state"], json.dumps({**state_of(config), **changes}, sort_keys=True) + "\n", 0o644)


def run(words, timeout, environment=None):
    """(exit code, stdout and stderr); 127 without the program, 124 when the time is over."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout,
                              env=environment, check=False)  # fmt: skip
    except FileNotFoundError:
        return 127, f"{words[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{words[0]} did not end in {timeout} s"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def ends(path):
    """(from, until) of a file's first certificate, in seconds since 1970. Raises Failed where openssl reads none."""
    code, text = run(["openssl", "x509", "-in", path, "-noout", "-startdate", "-enddate"], 30)
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    try:
        first, last = (
            calendar.timegm(time.strptime(found[name], "%b %d %H:%M:%S %Y GMT")) for name in ("notBefore", "notAfter")
        )
    except (KeyError, ValueError):
        raise Failed(f"{path}: openssl reads no certificate there ({code}: {' '.join(text.split())[:120]})",
                     f"rm -r {os.path.dirname(path)}, and order again") from None  # fmt: skip
    return first, last


def desired(config):
    """What a certificate is ordered for: it is ordered again when this changes."""
    return {"names": sorted(config["names"]), "server": config["server"]}


def due(config, now=None):
    """Why a certificate has to be ordered; "" for no reason."""
    chain = os.path.join(config["live"], "fullchain.pem")
    if not (os.path.exists(chain) and os.path.exists(os.path.join(config["live"], "privkey.pem"))):
        return "there is none"
    ordered = state_of(config).get("ordered") or {}
    if ordered.get("names") != desired(config)["names"]:
        return "its names differ"
    if ordered.get("server") != config["server"]:
        return "it is of another authority"
    first, last = ends(chain)
    left = last - (now or time.time())
    return f"it ends in {max(0, int(left // DAY_S))} days" if left < min(EARLY_S, (last - first) / 2) else ""


def pair(config):
    """[(where it is deployed, its text, mode)] of what certbot has."""
    at = config["live"]
    return [
        (config["key"], read(os.path.join(at, "privkey.pem")), 0o600),
        (config["certificate"], read(os.path.join(at, "fullchain.pem")), 0o644),
    ]


def undeployed(config):
    """Whether NGINX's files are not what certbot has, where it has something."""
    files = pair(config)
    return all(text for _, text, _ in files) and any(not is_so(*one) for one in files)


def is_so(path, text, mode):
    return read(path) == text and os.stat(path).st_mode & 0o777 == mode


def stale(config):
    """Whether NGINX runs, and shows another certificate than its file: a run was killed before it told NGINX."""
    own, shown = _own(config), _shown(config)
    return bool(own and shown and shown != own and not undeployed(config) and os.path.exists(config["live"]))


def deploy(config):
    """Puts certbot's certificate and key where NGINX has them, and has it serve them. True when that was needed."""
    if not undeployed(config) and not stale(config):
        return False
    before = [(path, read(path), mode) for path, _, mode in pair(config)]
    _put(pair(config))
    code, reported = run(config["test"], 60)
    if code:
        _put(before)
        raise Failed(f"nginx refuses its configuration, so the certificate of before stays: {_emergency(reported)}",
                     "correct what `nginx -t` names on the server")  # fmt: skip
    code, reported = run(config["reload"], 120)
    if code:
        raise Failed(f"{' '.join(config['reload'])}: {_last(reported)}", "see `journalctl -u nginx` on the server")
    _served(config)
    return True


def _put(files):
    for path, text, mode in files:
        if text:
            write(path, text, mode)


def _emergency(reported):
    return next((line for line in reported.splitlines() if "[emerg]" in line), _last(reported))


def _last(reported):
    lines = [line.strip() for line in reported.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing said"


def _served(config):
    """Waits until the port shows the certificate; raises Failed when it does not."""
    over, own = time.monotonic() + SERVED_S, _own(config)
    while _shown(config) != own:
        if time.monotonic() > over:
            what = f"port {config['port']} shows another certificate than {config['certificate']} {SERVED_S} s after the reload"
            raise Failed(
                what, "see `journalctl -u nginx` on the server: somebody else's server block may have the port"
            )
        time.sleep(0.2)


def _own(config):
    """DER of the certificate in NGINX's file; b"" where there is none."""
    first = read(config["certificate"]).partition(BEGIN)[2].partition(END)[0]
    return ssl.PEM_cert_to_DER_cert(BEGIN + first + END) if first else b""


def _shown(config):
    """DER of the certificate on the port; b"" where none is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", config["port"]), 5) as plain,
            context.wrap_socket(plain, server_hostname=config["server_name"]) as secure,
        ):
            return secure.getpeercert(binary_form=True)
    except OSError:
        return b""


def environment(config):
    """certbot's: the operator's variables for the hook, and whom the directory's own certificate may be signed by."""
    found = dict(os.environ, LC_ALL="C", PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin")
    if config.get("environment"):
        found.update(json.loads(read(config["environment"]) or "{}"))
    if config.get("ca"):
        found["REQUESTS_CA_BUNDLE"] = config["ca"]
    return found


def order(config):
    """Has certbot order a certificate, whatever it has; raises Failed with the authority's own words."""
    words = ["certbot", "certonly", "--config", config["ini"], "--force-renewal"]
    code, reported = run(words, ORDER_S, environment(config))
    if code:
        raise Failed(*explained(reported, config))
    note(config, ordered=desired(config))


def explained(reported, config):
    """(what, fix) of certbot's words."""
    more = {
        "http": config.get("http_port") or 80,
        "server": config["server"],
        "accounts": os.path.join(config["folder"], "accounts"),
    }
    problems = PROBLEM.findall(reported)
    if problems:
        name, kind, _detail = problems[0]
        dns = not config.get("http_port") and kind in ("unauthorized", "dns", "incorrectResponse")
        fix = FIXES.get("unauthorizedDns" if dns else kind, "see what the authority says")
        what = "; ".join(f"{one}: {kind}: {detail.strip()}" for one, kind, detail in problems[:3])
        return f"{_hook(reported)}the authority refuses: {what}", _fix(fix.format(name=name, **more))
    lines = [line.strip() for line in reported.splitlines() if line.strip() and not line.strip().startswith(NOISE)]
    what = lines[-1][:400] if lines else "certbot says nothing"
    return what, _fix(_advice(reported, what).format(name=config["names"][0], **more))


def _hook(reported):
    """That the operator's hook failed; not what it said, which may be a secret, and which certbot's log has."""
    found = HOOK.search(reported)
    return f"nginx_proxy_acme_dns_hook ({found[1]} of {found[2]}) ended with {found[3]}; " if found else ""


def _advice(reported, what):
    """What helps against an error that is of no single name."""
    if "externalaccount" in reported.lower() or "external account" in reported.lower():
        return FIXES["externalAccountRequired"]
    kinds = [kind for kind in KIND.findall(reported) if kind in FIXES]
    if kinds:
        return FIXES[kinds[-1]]
    if "SSLCertVerificationError" in reported or "CERTIFICATE_VERIFY_FAILED" in reported:
        return UNTRUSTED
    if "Requesting " in what or "HTTPSConnectionPool" in reported or "NameResolutionError" in reported:
        return UNREACHABLE
    return "see its log"


def _fix(text):
    return (
        f"{text}; then on the server: systemctl start deepgram-acme (its log: /var/log/deepgram-acme/letsencrypt.log)"
    )


def renew(config):
    """Orders what is due, deploys what is not served; notes how it went. True when something was done."""
    now = int(time.time())
    try:
        why = due(config, now)
        if why:
            print(f"ordering a certificate for {', '.join(config['names'])}: {why}", flush=True)
            order(config)
        deployed = deploy(config)
    except Failed as error:
        since = state_of(config).get("since") or now
        note(config, tried=now, since=since, error=error.args[0], fix=error.args[1])
        raise
    if why or state_of(config).get("error"):
        note(config, tried=now, since=0, error="", fix="")
    return bool(why) or deployed


def main(command, path=CONFIG):
    config = json.loads(read(path) or "{}")
    if not config:
        raise Failed(f"{path} is not there", "dgctl provision")
    if command == "due":
        print(json.dumps({"order": due(config), "deploy": undeployed(config) or stale(config)}))
        return
    if command == "deploy":  # within `renew`, which has the lock
        deploy(config)
        return
    with open(config["state"] + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = renew(config)
    print(json.dumps({"changed": changed}))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("renew", "deploy", "due"):
        sys.exit(__doc__)
    os.umask(0o077)
    try:
        main(*sys.argv[1:])
    except Failed as error:
        sys.exit(f"{error.args[0]}. Fix: {error.args[1]}")
