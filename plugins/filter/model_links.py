"""Filter `model_links`: every way to write a model link becomes {url, sha256}."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

DOCUMENTATION = """
name: model_links
short_description: Brings model links to one shape
description: A link is a string, or a dictionary with C(url) and optionally C(sha256).
positional: _input
options:
  _input:
    description: The links as the user wrote them.
    type: list
    elements: raw
    required: true
"""
EXAMPLES = """
- name: Show the shape
  ansible.builtin.debug:
    msg: "{{ ['https://example.com/a.dg'] | model_links }}"
"""
RETURN = """
_value:
  description: List of dictionaries with C(url) and C(sha256), the second an empty string where the user gave none.
  type: list
  elements: dict
"""


def _one(number, link):
    if isinstance(link, str):
        return {"url": link.strip(), "sha256": ""}
    if isinstance(link, dict) and isinstance(link.get("url"), str) and not set(link) - {"url", "sha256"}:
        return {"url": link["url"].strip(), "sha256": str(link.get("sha256") or "").strip().lower()}
    # The value itself stays unsaid: a link may be signed.
    raise AnsibleFilterError(
        f"deepgram_models_links: entry {number} is not a link. "
        "Fix: write a URL, or a dictionary with url and, if you know it, sha256."
    )


def model_links(links):
    """List of {url, sha256} in the order given; raises on anything else."""
    if not isinstance(links, (list, tuple)):
        raise AnsibleFilterError("deepgram_models_links is not a list. Fix: write one link a line, each after '- '.")
    return [_one(number, link) for number, link in enumerate(links, 1)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"model_links": model_links}
