"""Faults of NGINX's certificate: near its end, past it, of another name, without its chain, of another key, not served."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

BASE = "/etc/nginx/tls/deepgram"
RELOAD = "systemctl reload nginx; sleep 2"
# The names that the certificate has now, as openssl takes them.
NAMES = f"""
names=$(openssl x509 -in {BASE}.crt -noout -ext subjectAltName | tail -n 1 | tr -d ' ' | sed 's/IPAddress:/IP:/g')
"""
SIGN = f"openssl req -x509 -key {BASE}.key -subj /CN=simulated"
# Since OpenSSL 3.4 both dates are given; before, a number of days below zero was taken.
ENDED = f"""
work=$(mktemp -d)
openssl req -new -key {BASE}.key -subj /CN=simulated -out $work/csr
echo "subjectAltName=$names" > $work/names
sign() {{ openssl x509 -req -in $work/csr -signkey {BASE}.key -extfile $work/names -out {BASE}.crt "$@"; }}
sign -days -1 2>/dev/null || sign -not_before 20240101000000Z -not_after $(date -u -d yesterday +%Y%m%d%H%M%SZ)
rm -r $work
"""
# An authority, an intermediate one, and the server's certificate of that, which says where its issuer is found.
CHAIN = f"""
work=$(mktemp -d)
cd $work
new() {{
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=Simulated $1" -keyout $1.key -out $1.csr 2>&1
}}
new root; new intermediate
printf 'basicConstraints=critical,CA:TRUE\\n' > authority
openssl x509 -req -in root.csr -signkey root.key -days 365 -extfile authority -out root.crt 2>&1
openssl x509 -req -in intermediate.csr -CA root.crt -CAkey root.key -days 365 -extfile authority -out intermediate.crt 2>&1
openssl req -new -key {BASE}.key -subj /CN=simulated -out leaf.csr
printf "subjectAltName=$names\\nauthorityInfoAccess=caIssuers;URI:http://authority.lab.test/intermediate.crt\\n" > leaf
openssl x509 -req -in leaf.csr -CA intermediate.crt -CAkey intermediate.key -days 90 -extfile leaf -out {BASE}.crt 2>&1
rm -r $work
"""


def keep_both(target: Target) -> None:
    """A repair may have made a new pair of them: what goes back fits together."""
    target.keep(f"{BASE}.crt")
    target.keep(f"{BASE}.key")


def replaced(target: Target, script: str) -> str:
    """Another certificate for the same key, served."""
    keep_both(target)
    return target.sh(
        f"{NAMES}{script}\n{RELOAD}; openssl x509 -in {BASE}.crt -noout -issuer -enddate -ext subjectAltName"
    )


@inject("certificate-of-five-days")
def short(target: Target) -> str:
    return replaced(target, f'{SIGN} -days 5 -addext "subjectAltName=$names" -out {BASE}.crt')


@inject("certificate-ended")
def ended(target: Target) -> str:
    """It ended yesterday; NGINX serves it all the same."""
    return replaced(target, ENDED)


@inject("certificate-of-another-name")
def another_name(target: Target) -> str:
    return replaced(target, f'{SIGN} -days 90 -addext "subjectAltName=DNS:elsewhere.lab.test" -out {BASE}.crt')


@inject("certificate-without-its-chain")
def incomplete(target: Target) -> str:
    """The server's own certificate alone, without the intermediate authority's."""
    return replaced(target, CHAIN)


@inject("certificate-of-another-key")
def another_key(target: Target) -> str:
    """Somebody wrote a new key. NGINX serves on with both of before, until it is to read them again."""
    keep_both(target)
    return target.sh(f"""
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /root/new.key
    touch -r {BASE}.key /root/new.key; cat /root/new.key > {BASE}.key; touch -r /root/new.key {BASE}.key; rm /root/new.key
    nginx -t 2>&1 || true
    """)


@heal("certificate-of-five-days")
@heal("certificate-ended")
@heal("certificate-of-another-name")
@heal("certificate-without-its-chain")
@heal("certificate-of-another-key")
def as_before(target: Target) -> str:
    target.put_back()
    return target.sh(f"chmod 600 {BASE}.key; {RELOAD}; systemctl is-active nginx")
