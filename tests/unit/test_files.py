"""Files that the inventory names: SSH keys, certificates, vaults."""

from __future__ import annotations

import io
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import deployment, vault
from tests.unit.conftest import write
from tests.unit.test_validation import MAIN, add, only, problems


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


def keygen(path: Path, passphrase: str = "", kind: str = "ed25519") -> None:
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(words, check=True)


@pytest.fixture
def key(folder: Path) -> Path:
    add('ansible_ssh_private_key_file: "{{ inventory_dir }}/id"\n')
    return folder / "id"


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_good_key(key: Path, kind: str) -> None:
    keygen(key, kind=kind)
    assert problems() == []


def test_a_missing_key(key: Path) -> None:
    problem = only()
    assert problem.what == "the SSH key does not exist"
    assert problem.where == f"{MAIN}:4"


def test_a_key_that_others_can_read(key: Path) -> None:
    keygen(key)
    key.chmod(0o644)
    problem = only()
    assert (problem.value, problem.fix) == ("mode 0644", f"chmod 600 {key}")


def test_a_locked_key_without_an_agent(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    keygen(key, "passphrase")
    problem = only()
    assert "locked by a passphrase" in problem.what
    assert problem.fix == f"ssh-add {key}"


def test_a_locked_key_that_the_agent_holds(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(key, "passphrase")
    held = Path(f"{key}.pub").read_text().split()[1]
    agent = type("Agent", (), {"get_keys": lambda self: [type("Key", (), {"get_base64": lambda self: held})()]})
    monkeypatch.setattr("paramiko.Agent", agent)
    assert problems() == []


@pytest.mark.parametrize(
    ("content", "what"),
    [("ssh-ed25519 AAAA ops@desk\n", "public key"), ("hello\n", "holds no SSH private key")],
)
def test_a_file_that_is_no_private_key(key: Path, content: str, what: str) -> None:
    write(key, content, 0o600)
    assert what in only().what


def certificate(folder: Path, days: int = 30, since: int = -1, name: str = "tls") -> tuple[Path, Path]:
    """A self-signed certificate and its key, valid from `since` to `days` from now."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gpu1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=days))
        .sign(private, hashes.SHA256())
    )
    pem, raw, none = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(pem))
    (folder / f"{name}.key").write_bytes(private.private_bytes(pem, raw, none))
    return folder / f"{name}.crt", folder / f"{name}.key"


def use(crt: object, key: object) -> None:
    add(f"nginx_proxy_tls_certificate: {crt}\nnginx_proxy_tls_key: {key}\n")


def test_a_good_certificate(folder: Path) -> None:
    use(*certificate(folder))
    assert problems() == []


def test_certificates_that_clients_would_refuse(folder: Path) -> None:
    use(*certificate(folder, days=-1, since=-2))
    assert "expired" in only().what


def test_a_certificate_of_tomorrow(folder: Path) -> None:
    use(*certificate(folder, since=1))
    assert "valid only from" in only().what


def test_a_key_of_another_certificate(folder: Path) -> None:
    use(certificate(folder)[0], certificate(folder, name="other")[1])
    problem = only()
    assert "does not belong" in problem.what
    assert problem.where == f"{MAIN}:5"


def test_half_a_pair(folder: Path) -> None:
    add(f"nginx_proxy_tls_certificate: {certificate(folder)[0]}\n")
    assert "nginx_proxy_tls_certificate is set, but nginx_proxy_tls_key is not" in only().what


def test_a_certificate_that_is_not_there(folder: Path) -> None:
    use("/nowhere/tls.crt", certificate(folder)[1])
    problem = only()
    assert (problem.what, problem.value) == ("this file does not exist", "/nowhere/tls.crt")


def test_a_file_that_is_no_certificate(folder: Path) -> None:
    use(write(folder / "tls.txt", "hello"), certificate(folder)[1])
    assert "no PEM certificate" in only().what


def encrypt(password: str = "open sesame") -> None:
    """Encrypts the deployment's vault.yml as `ansible-vault encrypt` does."""
    from ansible.parsing.vault import VaultLib, VaultSecret

    path = Path("group_vars/all/vault.yml")
    path.write_bytes(VaultLib([("default", VaultSecret(password.encode()))]).encrypt(path.read_text()))


def test_a_vault_opens_with_the_password_beside_the_inventory() -> None:
    encrypt()
    write(Path(".vault_pass"), "open sesame\n", 0o600)
    assert problems() == []


def test_an_encrypted_vault_may_be_read_by_all() -> None:
    encrypt()
    write(Path(".vault_pass"), "open sesame\n", 0o600)
    Path("group_vars/all/vault.yml").chmod(0o644)
    assert problems() == []


def test_a_password_file_that_others_can_read() -> None:
    write(Path(".vault_pass"), "open sesame\n", 0o640)
    problem = only()
    assert (problem.value, problem.fix) == ("mode 0640", "chmod 600 .vault_pass")


@pytest.mark.parametrize(("password", "what"), [("wrong", "password is wrong"), ("", "no password was given")])
def test_a_vault_that_does_not_open(password: str, what: str) -> None:
    encrypt()
    if password:
        write(Path(".vault_pass"), password, 0o600)
    problem = only()
    assert problem.where == "group_vars/all/vault.yml"
    assert what in problem.what


def test_a_password_file_that_is_missing() -> None:
    with pytest.raises(DgctlError) as caught, vault.opened(Path("inventory.ini"), ("nowhere",), (), False):
        pass
    assert caught.value.exit_code == Exit.USAGE


def test_a_prompted_password_is_private_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt()
    monkeypatch.setattr("sys.stdin", io.StringIO("open sesame\n"))
    with vault.opened(Path("inventory.ini"), (), (), True) as passwords:
        path = passwords.files[0][1]
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        loaded = deployment.load(Path("inventory.ini"), passwords)
        assert loaded.hosts["gpu1"].vars["deepgram_api_key"] == "key-of-the-unit-tests"
        assert "open sesame" not in passwords.arguments()
    assert not path.exists()


@pytest.mark.parametrize("name", ["inventory.ini", MAIN, "host_vars/gpu1.yml"])
def test_a_file_of_10_mb_is_refused_before_it_is_read(name: str) -> None:
    Path("host_vars").mkdir(exist_ok=True)
    with Path(name).open("a") as file:
        file.write("# " + "x" * 10_000_000)
    with vault.opened(Path("inventory.ini"), (), (), False) as passwords, pytest.raises(DgctlError) as refused:
        deployment.load(Path("inventory.ini"), passwords, None)
    (problem,) = refused.value.problems
    assert (refused.value.exit_code, problem.where) == (Exit.INVALID, name)
    assert "too large: 10.0 MB" in problem.what and problem.fix
