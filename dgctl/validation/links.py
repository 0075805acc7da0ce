"""Model links among each other: no two files of one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from dgctl.base.errors import Problem
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.forms import bare

NAME = "deepgram_models_links"


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        links = host.vars.get(NAME)
        if not isinstance(links, list) or has(links, PLACEHOLDER) or NAME in host.unrendered:
            continue
        files = Counter(file_name(link) for link in links)
        for index, link in enumerate(links):
            if file_name(link) and files[file_name(link)] > 1:
                what = "two model links have the same file name: one would replace the other"
                yield Problem(what, context.place(host, NAME, (index,)), bare(_url(link)), "remove one of them")


def _url(link: Any) -> str:
    return str(link.get("url", "")) if isinstance(link, dict) else str(link)


def file_name(link: Any) -> str:
    """The name of the file that a model link leads to; "" for what is no link."""
    try:
        return PurePosixPath(urlsplit(_url(link)).path).name
    except ValueError:
        return ""
