"""The reference pages say what the source says."""

import importlib.util
import re

import pytest
import yaml

from dgctl.base.errors import Problem
from tests.paths import PROJECT

spec = importlib.util.spec_from_file_location("generate", PROJECT / "docs/generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_page_is_current(name):
    assert (PROJECT / "docs" / name).read_text() == generate.PAGES[name](), "run: python docs/generate.py"


READMES = generate.readmes()


@pytest.mark.parametrize("role", sorted(path.name for path in PROJECT.glob("roles/*/") if path.is_dir()))
def test_readme_of_a_role_is_current(role):
    assert role in READMES, f"name {role} in ROLES of docs/generate.py"
    path = PROJECT / "roles" / role / "README.md"
    assert path.is_file() and path.read_text() == READMES[role], "run: python docs/generate.py"


def test_every_role_is_on_the_page():
    roles = {path.parents[1].name for path in PROJECT.glob("roles/*/defaults/main.yml")}
    assert roles == set(generate.ROLES)


@pytest.mark.parametrize("role", generate.ROLES)
def test_specs_and_defaults_are_the_same(role):
    options = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())
    options = options["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((PROJECT / "roles" / role / "defaults/main.yml").read_text())
    assert set(defaults) | {n for n, o in options.items() if o.get("required")} == set(options)
    for name, value in defaults.items():
        assert name.startswith(f"{role}_"), name
        templated = isinstance(value, str) and "{{" in value
        if not templated and value is not None:
            assert options[name].get("default") == value, name


def test_every_check_of_the_doctor_says_what_it_looks_at_why_and_what_to_do():
    from dgctl import content

    checks = (*content.utility("doctor.doctor").CHECKS, *content.utility("doctor.doctor").DEEP)
    assert len({check.name for check in checks}) == len(checks)
    assert [check.name for check in checks if not (check.about and check.expected and check.cause and check.fix)] == []


def documented():
    """(page, variable) of every name that a page or the example gives in backticks, or sets, and that a role's prefix begins."""
    prefixes = "|".join(sorted((path.name for path in PROJECT.glob("roles/*")), key=len, reverse=True))
    name = re.compile(rf"(?<![\w./-])((?:{prefixes})_[a-z0-9_]*[a-z0-9])(?![\w*./(-])")
    pages = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md"))]
    texts = [(page, " ".join(re.findall(r"`[^`\n]+`", page.read_text()))) for page in pages]
    texts += [(path, path.read_text()) for path in sorted(PROJECT.glob("inventories/example/**/*.*"))]
    return sorted({(str(path.relative_to(PROJECT)), found) for path, text in texts for found in name.findall(text)})


def links():
    """(page, target) of each link of a page to a file."""
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("roles/*/README.md")]
    found = [(page, link) for page in pages for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    return [(page, link.partition("#")[0]) for page, link in found if not re.match(r"[a-z]+:|#", link)]


def test_every_link_leads_to_a_file():
    found = links()
    assert len(found) > 100, "the pattern finds no links any more"
    assert [(str(page.relative_to(PROJECT)), to) for page, to in found if not (page.parent / to).exists()] == []


def test_every_variable_of_the_pages_is_known_to_validation():
    from dgctl.content import specs

    known = {*specs.options(PROJECT), *specs.role_names(PROJECT)}
    modules = {path.stem for path in PROJECT.glob("plugins/*/*.py")}
    filters = "".join(
        path.read_text().partition("def filters(self)")[2] for path in PROJECT.glob("plugins/filter/*.py")
    )
    modules |= set(re.findall(r'"(\w+)":', filters))
    modules |= set(re.findall(r'^    "(\w+)": \("/', (PROJECT / "plugins/filter/scrape_jobs.py").read_text(), re.M))
    found = documented()
    assert len(found) > 100, "the pattern finds no names any more"
    assert [(page, name) for page, name in found if name not in known | modules] == []


def test_the_page_of_json_names_every_key():
    """Of the document with everything in it, of a check, and of a host's plan."""
    from dgctl.output.report import Check, HostState, Outcome
    from dgctl.plan.plan import HostPlan

    host = HostState(status={"any": 1}, plan=HostPlan())
    reported = {
        "lowered": [{}],
        "timings": {"look": 1.0},
        "diffs": [{}],
        "hints": [Problem("x")],
        "log": "/x",
        "keys": [{}],
        "audit": {"a": 1},
        "capacity": {"a": 1},
        "benches": [],
    }
    document = Outcome(hosts={"gpu1": host}, checks=[], **reported).document("plan", 1.0)
    check = Check("gpu1", "x", "fail", cause="y").as_dict()
    keys = {*document, *document["hosts"]["gpu1"], *HostPlan().as_dict(), *check, *Problem("x").as_dict()}
    page = (PROJECT / "docs/reference/json.md").read_text()
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", page)] == []
