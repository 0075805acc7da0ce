"""docs/tables/coverage.yml: what it names exists, and every page of Deepgram's self-hosted section is in it."""

import pytest

from dgctl.cli import main
from dgctl.content import specs
from docs.tables import coverage
from tests.paths import PROJECT

ASKS = [(row["page"], ask) for row in coverage.rows() for ask in row["asks"]]
# The navigation of developers.deepgram.com/docs, "Self-Hosted Deployments", as the second seed shows it.
NAVIGATION = (
    *("Introduction", "Deployment Environments", "Amazon SageMaker", "Docker/Podman"),
    *("Drivers and Container Orchestration Tools", "Kubernetes", "Securing Your Cluster", "Troubleshooting"),
    *("Self Service Licensing & Credentials", "Deploy STT Services", "Deploy Flux Model (STT)", "Deploy TTS Services"),
    *("Deploy Voice Agent", "Status Endpoint", "Certificate Status", "Deploy Deepgram on Modal"),
    *("Configure Deepgram on Modal", "Configure Modal Resources", "Scaling and Deployment Strategies"),
    *("System Maintenance", "Blue-Green Deployment", "Auto-Scaling", "Metrics Guide", "Ingress Authentication"),
    *("Redact Usage", "Log Formats", "Using Private Container Registries", "Smart Formatting", "License Proxy"),
    *("Prometheus Integration", "Deepgram UniMRCP Plugin", "Using SDKs with Self-Hosted"),
)


def absent(ask):
    """What an entry names that is not there."""
    known = set(specs.options(PROJECT))
    found = [name for name in ask.get("variables", []) if name not in known]
    found += [name for name in ask.get("pages", []) if not (PROJECT / "docs" / name).is_file()]
    found += [name for name in ask.get("tests", []) if not (PROJECT / name).exists()]
    for command in ask.get("commands", []):
        _, verb, *options = command.split()
        has = (
            {word for option in main.commands[verb].params for word in option.opts} if verb in main.commands else set()
        )
        found += [command] if verb not in main.commands or not set(options) <= has else []
    return found


@pytest.mark.parametrize(
    ("page", "ask"), ASKS, ids=[f"{page.partition(';')[0]}: {ask['ask'][:40]}" for page, ask in ASKS]
)
def test_what_serves_an_ask_exists(page, ask):
    assert absent(ask) == []
    assert ask.get("pages") and ask.get("tests"), "a page that says how, and a test that holds it"
    assert set(ask) <= {"ask", "variables", "commands", "pages", "tests", "missing"}


def test_what_does_not_exist_is_found():
    made_up = {
        "variables": ["deepgram_x"],
        "pages": ["x.md"],
        "tests": ["tests/x.py"],
        "commands": ["dgctl x", "dgctl plan --x"],
    }
    assert absent(made_up) == ["deepgram_x", "x.md", "tests/x.py", "dgctl x", "dgctl plan --x"]


@pytest.mark.parametrize("name", NAVIGATION)
def test_every_page_of_the_navigation_is_in_it(name):
    titles = [
        title.strip().partition(" (second seed)")[0] for row in coverage.rows() for title in row["page"].split(";")
    ]
    assert name in titles


def test_both_seeds_are_in_it():
    assert sum("seed)" in row["page"] for row in coverage.rows()) == 2
