"""What the numbers were measured on."""

from bench import machine


def test_it_is_said_with_the_packages_that_are_there():
    facts = machine.facts()
    assert facts["ansible_core"].startswith("2.") and all(value not in ("", None) for value in facts.values()), facts
