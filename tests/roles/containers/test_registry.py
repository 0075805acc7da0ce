"""Login at a registry: Basic and Bearer, and each way in which it goes wrong."""

import base64
import hashlib
import json

import pytest
from ansible.module_utils.containers import registry

USER, PASSWORD = "deepgram+customer", "s3cret-and-long"
PAIR = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def verdicts(findings):
    return {item["check"]: item["verdict"] for item in findings}


def basic(method, path, headers):
    """A registry that wants Basic authentication and has one image."""
    if headers.get("Authorization") != PAIR:
        return 401, {"WWW-Authenticate": 'Basic realm="registry"'}, b""
    return (200 if path in ("/v2/", "/v2/deepgram/self-hosted-api/manifests/release-1") else 404), {}, b"{}"


def bearer(realm_of, asked):
    """A registry that sends clients to a token service on the same host, as quay.io does."""

    def answer(method, path, headers):
        if path.startswith("/auth"):
            asked.append(path)
            good = headers.get("Authorization") == PAIR
            return (200 if good else 401), {}, json.dumps({"token": "t0ken"}).encode()
        if headers.get("Authorization") == "Bearer t0ken":
            return (200 if path.endswith("/release-1") else 404), {}, b""
        return 401, {"WWW-Authenticate": f'Bearer realm="{realm_of()}",service="quay.io"'}, b""

    return answer


@pytest.fixture
def token_registry(https):
    place, asked = {}, []
    place["host"] = https(bearer(lambda: f"https://{place['host']}/auth", asked))
    return place["host"], asked


def test_basic_login_and_image(https):
    host = https(basic)
    found = registry.check(f"{host}/deepgram/self-hosted-api:release-1", USER, PASSWORD, 5)
    assert verdicts(found) == {"registry login": "pass", "image self-hosted-api": "pass"}


def test_bearer_login_asks_to_pull_this_repository(token_registry):
    host, asked = token_registry
    found = registry.check(f"{host}/deepgram/self-hosted-api:release-1", USER, PASSWORD, 5)
    assert verdicts(found) == {"registry login": "pass", "image self-hosted-api": "pass"}
    assert asked == ["/auth?service=quay.io&scope=repository%3Adeepgram%2Fself-hosted-api%3Apull"]


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_wrong_password_is_named_without_being_shown(kind, https, token_registry):
    host = https(basic) if kind == "basic" else token_registry[0]
    (login,) = registry.check(f"{host}/deepgram/self-hosted-api:release-1", USER, "wrong-password", 5)
    assert (login["check"], login["verdict"]) == ("registry login", "fail")
    assert "deepgram_registry_password" in login["fix"] and USER in login["seen"]
    assert "wrong-password" not in json.dumps(login)


def test_release_that_the_registry_lacks(https):
    host = https(basic)
    _login, image = registry.check(f"{host}/deepgram/self-hosted-api:release-2", USER, PASSWORD, 5)
    assert image["verdict"] == "fail" and "deepgram_release" in image["fix"] and "404" in image["seen"]


def test_password_is_not_sent_to_a_token_service_without_tls(https):
    host = https(bearer(lambda: "http://127.0.0.1:1/auth", []))
    (login,) = registry.check(f"{host}/deepgram/self-hosted-api:release-1", USER, PASSWORD, 5)
    assert login["verdict"] == "fail" and "not https" in login["seen"]


def test_password_does_not_follow_a_redirect(https):
    seen = []

    def thief(method, path, headers):
        seen.append(headers.get("Authorization"))
        return 200, {}, b""

    other = https(thief)

    def redirects(method, path, headers):
        if "Authorization" in headers:
            return 302, {"Location": f"https://{other}/v2/"}, b""
        return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""

    (login,) = registry.check(f"{https(redirects)}/deepgram/self-hosted-api:release-1", USER, PASSWORD, 5)
    assert login["verdict"] == "fail" and seen == []


def test_certificate_of_an_unknown_authority(https, monkeypatch):
    host = https(basic)
    monkeypatch.delenv("SSL_CERT_FILE")
    (login,) = registry.check(f"{host}/deepgram/self-hosted-api:release-1", USER, PASSWORD, 5)
    assert login["verdict"] == "fail" and "certificate not accepted" in login["seen"]
    assert "update-ca-certificates" in login["fix"]


IMAGE = "deepgram/self-hosted-api"
INDEX = json.dumps({"manifests": [{"digest": "sha256:" + "1" * 64}]}).encode()
INDEX_DIGEST = "sha256:" + hashlib.sha256(INDEX).hexdigest()
OTHER = "sha256:" + "2" * 64


@pytest.mark.parametrize(
    ("pinned", "now"), [(OTHER, INDEX_DIGEST), (INDEX_DIGEST, ""), ("sha256:" + "1" * 64, "")], ids=str
)
def test_a_moved_tag_is_seen(https, pinned, now):
    """OCI distribution specification: a manifest's digest is that of its bytes. Podman may know an image by its index's entry."""
    for missing in (False, True):
        status = 404 if missing else 200
        answers = {"/v2/": (200, {}, b""), f"/v2/{IMAGE}/manifests/release-1": (200, {}, INDEX)}
        host = https(lambda method, path, headers, known=answers, other=status: known.get(path, (other, {}, b"")))
        name = f"{host}/{IMAGE}:release-1"
        found = registry.moved(name, pinned, USER, PASSWORD, 5)
        assert found == ([{"name": name, "pinned": pinned, "now": now, "gone": missing}] if now else [])


@pytest.mark.parametrize(
    "answer",
    [(404, {}, b"{}"), (500, {}, b""), (200, {}, b"x" * (registry.MANIFEST_LIMIT + 1))],
    ids=["404", "500", "endless"],
)
def test_a_tag_that_nobody_knows_has_not_moved(https, answer):
    host = https(lambda method, path, headers: (200, {}, b"") if path == "/v2/" else answer)
    assert registry.moved(f"{host}/{IMAGE}:release-1", OTHER, USER, PASSWORD, 5) == []
    assert registry.moved(f"127.0.0.1:1/{IMAGE}:release-1", OTHER, USER, PASSWORD, 5) == []


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"manifests": 5}', b'{"manifests": [{}]}'])
def test_a_manifest_of_any_shape_has_a_digest(text):
    assert registry.digests(text) == ["sha256:" + hashlib.sha256(text).hexdigest()]


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("quay.io/deepgram/self-hosted-api:release-1", ("quay.io", "deepgram/self-hosted-api", "release-1")),
        ("r.example:5000/dg/self-hosted-engine:r1", ("r.example:5000", "dg/self-hosted-engine", "r1")),
        ("quay.io/deepgram/self-hosted-api@sha256:ab", ("quay.io", "deepgram/self-hosted-api", "sha256:ab")),
    ],
)
def test_split(image, parts):
    assert registry.split(image) == parts
