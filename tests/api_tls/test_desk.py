"""FIPS and the API's TLS, from the desk: each wrong input beside the nearest right one, with its place."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.conftest import checkout, folder, root  # noqa: F401 - fixtures
from tests.unit.test_validation import here  # noqa: F401 - a fixture
from tests.unit.validating import MAIN, add, only, problems

pytestmark = pytest.mark.usefixtures("here")

RELEASE = "deepgram_release: release-260812-fips\n"
MODELS = 'deepgram_models_links: ["https://m/nova-3-general.en.batch.a1b2c3.dgv2"]\n'
PLAIN = MODELS.replace("dgv2", "dg")
FIPS = f"deepgram_fips: true\n{RELEASE}{MODELS}"


@pytest.mark.parametrize(
    "settings",
    [
        FIPS,
        FIPS.replace("true", "yes"),
        RELEASE
        + MODELS
        + "deepgram_engine_settings: {fips: {mode: enabled}}\ndeepgram_api_settings: {fips: {mode: enabled}}\n",
        PLAIN + "deepgram_api_tls: true\n",
    ],
)
def test_what_can_work_is_valid(settings):
    Path(MAIN).write_text(settings)
    assert problems() == []


WRONG = [
    (FIPS.replace("-fips", ""), "true, and these are no images for FIPS", "set deepgram_release to release-260812-fips"),
    (FIPS.replace("260812", "260714"), "there are no images for FIPS of this release", "release-260728-fips or newer"),
    (RELEASE + MODELS, "not in FIPS mode unless their files say so", "set deepgram_fips: true"),
    (FIPS.replace("dgv2", "dg"), "images for FIPS read .dgv2 model files alone", "ask Deepgram"),
    (FIPS + "deepgram_api_tls: false\n", "answers over TLS alone", "take the line out"),
    (
        PLAIN + "deepgram_api_settings: {server: {https: {cert_file: /config/a.pem, key_file: /config/b.pem}}}\n",
        "server.https is set by hand", "set deepgram_api_tls: true",
    ),
    (PLAIN + "deepgram_api_tls: true\ndeepgram_api_tls_key: /nowhere/a\n", "deepgram_api_tls_key is set, but", "leave all"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "what", "fix"), WRONG)
def test_what_cannot_work_is_refused(settings, what, fix):
    Path(MAIN).write_text(settings)
    found = problems()
    assert found and all(what in problem.what and fix in problem.fix for problem in found), found
    assert all(MAIN in problem.where for problem in found)


@pytest.fixture
def own(tmp_path):
    """Settings with files of the user's own: an authority, and a certificate that it signed for *.example.com."""
    made = tmp_path / "made"
    made.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=made, check=True, capture_output=True)

    def new(name, *more):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")
        openssl("req", "-x509", *key, "-out", f"{name}.crt", "-subj", f"/CN={name}", "-days", "2", *more)

    new("ca")
    new("other")
    new("api", "-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:*.example.com")
    files = {"certificate": "api.crt", "key": "api.key", "ca": "ca.crt"}

    def reported(name="a.example.com", **changes):
        lines = [f"deepgram_api_tls_{key}: {made / file}" for key, file in {**files, **changes}.items()]
        return "\n".join(["deepgram_api_tls: true", f"deepgram_api_tls_name: {name}", *lines, ""])

    return reported


def test_files_that_fit_each_other_and_the_name_are_valid(own):
    add(own())
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "what", "at"),
    [
        ({"ca": "other.crt"}, "this authority did not sign the API's certificate", "deepgram_api_tls_ca"),
        ({"ca": "ca.key"}, "this file holds no PEM certificate", "deepgram_api_tls_ca"),
        ({"key": "other.key"}, "the key does not belong to the certificate", "deepgram_api_tls_key"),
        ({"key": "gone.key"}, "this file does not exist", "deepgram_api_tls_key"),
        ({"name": "a.b.example.com"}, "is not for this name, but for *.example.com", "deepgram_api_tls_name"),
    ],
)
def test_files_that_do_not_fit_are_refused_at_their_line(own, changes, what, at):
    add(own(**changes))
    problem = only()
    assert what in problem.what
    number = int(problem.where.rpartition(":")[2])
    assert Path(MAIN).read_text().splitlines()[number - 1].startswith(at)
