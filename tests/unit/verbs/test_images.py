"""`images save`: which images one file is to have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.verbs import images
from tests.plan.test_rollout import deployment

API, ONE, OTHER = "quay.io/deepgram/self-hosted-api:release-260812", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def desired(monkeypatch: pytest.MonkeyPatch) -> Any:
    """wanted(digest of gpu1's API, that of gpu2's): what one file has."""

    def of(*digests: str, **variables: str) -> list[images.Image]:
        hosts = deployment(node=["gpu1", "gpu2"])
        for host in hosts.hosts.values():
            host.vars.update(variables)
        needed = dict(zip(("gpu1", "gpu2"), digests, strict=True))
        monkeypatch.setattr(images.lock, "needed", lambda inventory, host, release: {API: needed[host.name]})
        work: Any = SimpleNamespace(deployment=hosts, session=SimpleNamespace(options=images.Options(to="x.tar")))
        return images._desired(work)

    return of


@pytest.mark.parametrize("digest", [ONE, ""])
def test_what_servers_share_is_taken_once(desired: Any, digest: str) -> None:
    assert desired(digest, digest) == [images.Image(API, digest, "", "")]
    account = {"deepgram_registry_username": "user", "deepgram_registry_password": "password"}
    assert desired(digest, digest, **account) == [images.Image(API, digest, "user", "password")]


@pytest.mark.parametrize(("second", "value"), [(OTHER, OTHER), ("", "the release's")])
def test_two_images_of_one_name_need_a_file_each(desired: Any, second: str, value: str) -> None:
    with pytest.raises(DgctlError) as error:
        desired(ONE, second)
    (problem,) = error.value.problems
    assert error.value.exit_code == Exit.INVALID and "gpu1 and gpu2 are to run different images" in problem.what
    assert (problem.where, problem.value, problem.fix) == (API, value, "add --limit gpu2")
