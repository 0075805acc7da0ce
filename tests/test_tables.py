"""What a row of one table asks for elsewhere: a system, a product, a verb whose other places were forgotten is named here."""

import re

import pytest

from dgctl import cli, content
from dgctl.content import specs
from dgctl.verify import desired
from tests.paths import PROJECT
from tests.scenarios.support.systems import ELSEWHERE, LEADS, RENDERED, WAYS

PLATFORM = "roles/platform/vars/main"
SYSTEMS = content.tables(PROJECT, "systems")["_platform_systems"]
APPLIED = {way.system for way in (*WAYS, *ELSEWHERE)}


def test_every_system_is_applied_or_said_to_be_rendered_alone():
    """tests/scenarios/support/systems.py names it; docs/reference/systems.md follows from that."""
    assert sorted(set(SYSTEMS) - APPLIED - set(RENDERED)) == [], "name them in tests/scenarios/support/systems.py"
    assert sorted((APPLIED | set(RENDERED)) - set(SYSTEMS)) == [], f"they have no row in {PLATFORM}/systems.yml"
    assert sorted(APPLIED & set(RENDERED)) == [], "they are applied"


def test_every_system_of_the_lab_is_applied():
    from lab.systems import SYSTEMS as LAB

    assert set(LAB) == APPLIED, "lab/systems.py against tests/scenarios/support/systems.py"


@pytest.mark.parametrize("way", (*WAYS, *ELSEWHERE), ids="-".join)
def test_what_is_applied_is_offered(way):
    system = SYSTEMS[way.system]
    assert way.branch in system["driver"][way.source]["branches"] and system[way.engine]
    assert way in ELSEWHERE or (way.system, way.source, way.branch) in LEADS, "its package is missing in LEADS"


PROFILES = content.tables(PROJECT, "profiles")["_platform_profiles"]
OPTIONS = specs.options(PROJECT)
ASKED = ("title", "paths", "request", "minimums", "limit")  # of each; what stt needs, each needs a value for


@pytest.mark.parametrize("profile", PROFILES)
def test_a_product_has_everything_that_others_read(profile):
    row = PROFILES[profile]
    assert [key for key in ASKED if not row.get(key)] == []
    assert set(row["minimums"]) == set(PROFILES["stt"]["minimums"])
    named = [*row.get("required", []), row["limit"]["variable"], *filter(None, [row.get("groups_by")])]
    named += [name for part in ("api_of", "engine_of", "environment_of") for name in row.get(part, {}).values()]
    assert [name for name in named if name not in OPTIONS] == [], "roles/deepgram/meta/argument_specs.yml lacks them"
    assert {kind["as"] for kind in row.get("kinds", {}).values()} <= set(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_verify_can_prove_a_product(profile):
    """Else its check would be a skip for ever, or prove another product."""
    links = ["https://m/nova-3-general.en.batch.1.dg", "https://m/flux-general-en.en.streaming.1.dg"]
    values = desired.desired({"deepgram_profile": profile, "deepgram_models_links": links})
    proven = [key for key in ("speech", "flux", "voices", "agent") if values[key]]
    assert proven == [desired.REQUESTS[PROFILES[profile]["request"]]], (
        "see REQUESTS and VOICES in dgctl/verify/desired.py"
    )


def test_every_list_of_products_has_them_all():
    entry = re.findall(
        r"profile: \{type: string, enum: \[([^]]*)\]", (PROJECT / "roles/deepgram/meta/schema.yml").read_text()
    )
    assert [words.split(", ") for words in entry] == [list(PROFILES)], "roles/deepgram/meta/schema.yml"
    assert OPTIONS["deepgram_profile"].spec["choices"] == list(PROFILES), "roles/deepgram/meta/argument_specs.yml"
    page = (PROJECT / "docs/products.md").read_text()
    assert [profile for profile in PROFILES if f"`{profile}`" not in page] == [], "docs/products.md"
    first = content.read(PROJECT / "dgctl/content/releases.yml")["first"]
    assert set(first) - {"log_format"} <= set(PROFILES), "dgctl/content/releases.yml"


def test_every_product_serves_on_the_lab():
    text = (PROJECT / "tests/scenarios/support/products.py").read_text()
    (listed,) = re.findall(r"^ENGINES: .*?^\]", text, re.MULTILINE | re.DOTALL)
    served = {"stt", *re.findall(r'"profile": "(\w+)"', listed)}
    assert served == set(PROFILES), "ENGINES in tests/scenarios/support/products.py"


@pytest.mark.parametrize("verb", cli.main.commands)
def test_a_verb_is_tested_and_in_the_readme(verb):
    calls = rf'dgctl\.verbs(\.|\s+import\s[^\n]*\b){verb}\b|[(\[]"{verb}"[,\])]|"{verb}", "?\w+\.ini'
    tests = [
        path for path in PROJECT.glob("tests/**/test_*.py") if path.name not in ("test_tables.py", "test_rooms.py")
    ]
    assert any(re.search(calls, path.read_text()) for path in tests), f"no test runs {verb}"
    lines = [line for line in (PROJECT / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert any(re.search(rf"`{verb}\b", line) for line in lines), "README.md, What it does"


def test_the_readme_names_every_role():
    named = set(re.findall(r"\w+", (PROJECT / "README.md").read_text()))
    assert [path.parent.name for path in PROJECT.glob("roles/*/meta") if path.parent.name not in named] == []
