"""Jinja compiles each template once: the variables of a fleet are the same few texts, and Ansible compiles them for each host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def once(compiled: dict[Any, Any] | None = None, before: Callable[[], None] | None = None) -> Iterator[None]:
    """Within it, environments of one kind and syntax share what they compile, as they would by a bytecode cache.

    `compiled`: what was compiled before, and is kept for the next time. `before`: called before each template is rendered.
    Jinja's own bytecode caches are for templates of loaders, not for texts. An overlay, as by `#jinja2:`, compiles for
    itself. Not for threads.
    """
    from jinja2 import Environment

    compiled = {} if compiled is None else compiled
    own = Environment.compile

    def shared(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if before:
            before()
        if self.overlayed or arguments or options or not isinstance(source, str):
            return own(self, source, *arguments, **options)
        key = (type(self), self.lexer, str(source))  # Jinja keeps one lexer for each syntax
        if key not in compiled:
            compiled[key] = own(self, source)
        return compiled[key]

    Environment.compile = shared  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Environment.compile = own  # type: ignore[method-assign]
