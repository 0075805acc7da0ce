"""A repository is added once its key is trusted, and a key is trusted only by its fingerprint."""

import base64
import contextlib
import hashlib
import shutil
import subprocess

import pytest
from ansible.module_utils.packages import openpgp
from hypothesis import given
from hypothesis import strategies as st

# Made with gpg for this test; gpg shows this fingerprint for it.
FINGERPRINT = "8F9103ED7D8C96BE8764609595F8598B00396427"
ARMORED = b"""-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: of no use

mDMEawEq5BYJKwYBBAHaRw8BAQdAuiJmDixGyZvY6nYiHgP6KOdo9fSIThj1oFan
UjhEpBK0EEV4YW1wbGUgcGFja2FnZXOIkAQTFggAOBYhBI+RA+19jJa+h2RglZX4
WYsAOWQnBQJrASrkAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEJX4WYsA
OWQn9eABANjYFCjbxzA5ji1cKRkMFPQNrlA4R2r9K19tiKyTl8VMAQCHEelk73o/
Ji5lmH7fbDuFWYaM/voGy0MDG8sp8jMNCA==
=b54U
-----END PGP PUBLIC KEY BLOCK-----
"""
BINARY = openpgp.dearmor(ARMORED)
# The same with another byte in its key: a key of somebody else.
OTHER = openpgp.armor(BINARY[:20] + bytes([BINARY[20] ^ 1]) + BINARY[21:])


@pytest.fixture
def served(https):
    """served(data, status): the address of a key."""
    return lambda data, status=200: f"https://{https(lambda *_: (status, {}, data))}/key.pub"


@pytest.fixture
def add(call, tmp_path):
    """add(key_url, **arguments): the result for a repository whose files lie in the test's folder."""
    paths = {"path": str(tmp_path / "x.sources"), "key": str(tmp_path / "keyrings/x.gpg"), "content": "Types: deb\n"}
    return lambda url, **more: call("package_source", key_url=url, **{"fingerprint": FINGERPRINT, **paths, **more})


def test_fingerprint_is_gpg_s():
    assert openpgp.fingerprints(BINARY) == [FINGERPRINT]
    if shutil.which("gpg"):
        shown = subprocess.run(["gpg", "--show-keys", "--with-colons"], input=ARMORED, capture_output=True).stdout
        assert f"fpr:::::::::{FINGERPRINT}:".encode() in shown


def test_right_key_and_repository_are_put_there_once(add, served, tmp_path):
    key, url = tmp_path / "keyrings/x.gpg", served(ARMORED)
    spaced = "8F91 03ED 7D8C 96BE 8764  6095 95F8 598B 0039 6427"
    assert add(url, fingerprint=spaced, check=True)["changed"]
    assert not key.exists() and not (tmp_path / "x.sources").exists()
    assert add(url, fingerprint=spaced)["changed"]
    assert key.read_bytes() == BINARY and key.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "x.sources").read_text() == "Types: deb\n"
    assert add("https://127.0.0.1:1/gone")["changed"] is False


def test_the_key_s_mode_is_put_back(add, served, tmp_path):
    key, url = tmp_path / "keyrings/x.gpg", served(ARMORED)
    add(url)
    key.chmod(0o601)
    assert add(url)["changed"] and key.stat().st_mode & 0o777 == 0o644
    assert not add(url)["changed"]


def test_a_key_for_rpm_is_armored_and_read_back(add, served, tmp_path):
    key = tmp_path / "rpm-gpg/RPM-GPG-KEY-x"
    assert add(served(BINARY), key=str(key))["changed"]
    text = key.read_bytes()
    assert text.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n") and openpgp.dearmor(text) == BINARY
    assert text.splitlines()[-2] == b"=b54U"  # the checksum that gpg wrote
    assert add("https://127.0.0.1:1/gone", key=str(key))["changed"] is False


def test_other_address_is_written_without_asking_for_the_key(add, served, tmp_path):
    add(served(ARMORED))
    result = add("https://127.0.0.1:1/gone", content="Types: deb-src\n")
    assert result["changed"] and result["diff"]["before"] == "Types: deb\n"
    assert (tmp_path / "x.sources").read_text() == "Types: deb-src\n"


def test_other_key_is_refused_and_its_repository_not_added(add, served, tmp_path):
    key = tmp_path / "keyrings/x.gpg"
    key.parent.mkdir()
    key.write_bytes(b"the old key")
    result = add(served(ARMORED), fingerprint="0" * 40, variable="x_key")
    assert result["failed"] and FINGERPRINT in result["msg"] and " Fix: " in result["msg"]
    assert "x_key_fingerprint" in result["fix"] and key.read_bytes() == b"the old key"
    assert not (tmp_path / "x.sources").exists()


def test_second_key_in_the_file_is_refused(add, served):
    result = add(served(ARMORED + ARMORED))
    assert result["failed"] and "set" in result["fix"] and " and " in result["msg"]


@pytest.mark.parametrize(("data", "status"), [(b"<html>login</html>", 200), (b"", 200), (BINARY[:40], 200), (b"", 404)])
def test_what_is_no_key(add, served, tmp_path, data, status):
    result = add(served(data, status))
    assert result["failed"] and " Fix: " in result["msg"] and not (tmp_path / "keyrings").exists()


def test_key_without_tls_is_refused(add):
    result = add("http://127.0.0.1/key")
    assert result["failed"] and "not https" in result["msg"]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_order(data):
    with contextlib.suppress(ValueError):
        assert all(len(found) in (40, 64) for found in openpgp.fingerprints(openpgp.dearmor(data)))


@given(st.binary(min_size=1, max_size=8), st.integers(0, len(BINARY) - 1))
def test_changed_key_material_changes_the_fingerprint(noise, place):
    changed = BINARY[:place] + noise + BINARY[place + len(noise) :]
    (_tag, body), *_rest = openpgp.packets(BINARY)
    if changed[: len(body) + 2] == BINARY[: len(body) + 2]:
        return  # outside the key packet: user id or signature
    with contextlib.suppress(ValueError):
        assert openpgp.fingerprints(changed) != [FINGERPRINT]


def test_damaged_armor():
    with pytest.raises(ValueError, match="damaged"):
        openpgp.dearmor(ARMORED.replace(b"mDME", b"mD*E"))
    assert base64.b64encode(BINARY[:3]) == b"mDME"


def test_a_key_that_is_given_is_not_fetched(add, tmp_path):
    key = tmp_path / "keyrings/x.gpg"
    assert add("https://localhost:1/nothing-listens", key_text=ARMORED.decode())["changed"]
    assert key.exists()


def test_a_given_key_with_another_fingerprint_is_refused(add):
    result = add("https://localhost:1/x", key_text=ARMORED.decode(), fingerprint="0" * 40, variable="x_key")
    assert "The key in x_key has fingerprint" in result["msg"] and "x_key_fingerprint" in result["fix"]


# What `sed '/^Version/d' key | sha256sum` prints, as NVIDIA's image builds pin their keys.
VERSIONED = ARMORED.replace(b"Comment: of no use\n", b"Comment: of no use\nVersion: GnuPG v2.0.22 (GNU/Linux)\n")
SUM = hashlib.sha256(ARMORED).hexdigest()


@pytest.mark.parametrize("name", ["rpm-gpg/RPM-GPG-KEY-x", "keyrings/x.gpg"])
def test_a_key_pinned_by_the_sum_of_its_file_is_trusted_as_one_with_a_fingerprint_is(add, served, tmp_path, name):
    if shutil.which("sed"):
        without = subprocess.run(["sed", "/^Version/d"], input=VERSIONED, capture_output=True).stdout
        assert hashlib.sha256(without).hexdigest() == SUM
    pinned = {"fingerprint": "", "sha256": SUM, "key": str(tmp_path / name)}
    assert add(served(VERSIONED), **pinned)["changed"]
    key = (tmp_path / name).read_bytes()
    assert openpgp.fingerprints(openpgp.dearmor(key)) == [FINGERPRINT], "what signatures are checked with"
    assert key == BINARY or key.startswith(b"-----BEGIN")
    again = add(served(VERSIONED), **pinned)
    assert again["changed"] is False and not again.get("failed")


def test_a_key_for_rpm_that_matches_its_sum_is_not_fetched_again(add, served, tmp_path):
    pinned = {"fingerprint": "", "sha256": SUM, "key": str(tmp_path / "RPM-GPG-KEY-x")}
    assert add(served(VERSIONED), **pinned)["changed"]
    assert add("https://127.0.0.1:1/gone", **pinned)["changed"] is False
    (tmp_path / "RPM-GPG-KEY-x").write_bytes(OTHER)
    assert "Cannot fetch" in add("https://127.0.0.1:1/gone", **pinned)["msg"], "another key is no reason to trust it"


def test_a_key_file_with_another_sum_is_refused_with_what_was_seen(add, served, tmp_path):
    other = hashlib.sha256(OTHER).hexdigest()
    result = add(served(OTHER), fingerprint="", sha256=SUM, variable="x_key", key=str(tmp_path / "k"))
    assert result["failed"] and other in result["msg"] and SUM in result["msg"]
    seen = openpgp.fingerprints(openpgp.dearmor(OTHER))[0]
    assert seen in result["msg"] and "x_key_fingerprint" in result["fix"]
    assert not (tmp_path / "k").exists() and not (tmp_path / "x.sources").exists()


def test_two_keys_under_one_sum_are_refused(add, served):
    both = ARMORED + ARMORED
    result = add(served(both), fingerprint="", sha256=hashlib.sha256(both).hexdigest())
    assert result["failed"] and " and " in result["msg"]


def test_a_fingerprint_counts_before_a_sum(add, served):
    assert add(served(ARMORED), sha256="0" * 64)["changed"]
    assert add(served(ARMORED), fingerprint="")["failed"], "nothing says which key it is"


@pytest.mark.parametrize("status", [404, 500])
def test_a_key_that_cannot_be_fetched_says_so_and_not_that_it_is_none(add, served, tmp_path, status):
    """The body of an error page is no key, whatever it holds."""
    url = served(ARMORED, status)
    result = add(url, variable="x_key")
    assert f"Cannot fetch the repository key {url}: HTTP {status}" in result["msg"] and "x_key_url" in result["fix"]
    assert not (tmp_path / "keyrings").exists() and not (tmp_path / "x.sources").exists()
    assert "Cannot fetch the repository key https://127.0.0.1:1/gone: " in add("https://127.0.0.1:1/gone")["msg"]


def test_without_a_fingerprint_no_key_is_trusted(add, served, tmp_path):
    result = add(served(ARMORED), fingerprint=" ", variable="x_key")
    assert "Nothing says which key signs" in result["msg"] and "x_key_fingerprint" in result["fix"]
    assert not (tmp_path / "x.sources").exists()


@pytest.mark.parametrize(
    ("data", "words"), [(b"<html>", "There is no repository key in "), (b"", "has fingerprint none")]
)
def test_what_is_no_key_is_said_with_its_address(add, served, data, words):
    url = served(data)
    result = add(url, variable="x_key")
    assert words in result["msg"] and url in result["msg"] and "x_key" in result["fix"]


def test_a_key_of_before_is_replaced_in_its_folder(add, served, tmp_path):
    key = tmp_path / "keyrings/x.gpg"
    key.parent.mkdir()
    key.write_bytes(b"the old key")
    assert add(served(ARMORED))["changed"] and key.read_bytes() == BINARY
