"""The mutations: small wrong changes of a line, each of which a test should notice.

None of the kept libraries (mutmut, cosmic-ray) drops a statement, and what a module does is mostly a statement whose
value nobody reads: a file removed, a failure reported, an early return.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What changes a server, a proxy or the inventory. What only looks (doctor, look, preflight) and what only
# writes words is drawn with --all.
ACTS = (
    "plugins/modules/*.py",
    "plugins/action/*.py",
    "roles/*/files/**/*.py",
    *(f"plugins/module_utils/{name}.py" for name in (
        "packages/apt/*", "packages/dnf/*", "packages/rpm/database", "nvidia/cdi_refresh", "nvidia/driver_leftovers",
        "nvidia/driver_reload", "nvidia/fabric", "nvidia/gpu_clients", "deepgram/containers", "deepgram/download",
        "deepgram/engines", "deepgram/marks", "deepgram/wipe", "snapshot/*", "proxy/nginx_main", "host/outcome",
        "host/parallel", "host/whole_file",
    )),
    *(f"dgctl/{name}.py" for name in (
        "verbs/*", "rollout/*", "deployment/inventory_edit", "base/lock", "plan/look", "run/lease", "run/snapshots",
        "run/confirm",
    )),
)  # fmt: skip
ALL = ("dgctl/**/*.py", "plugins/**/*.py", "roles/*/files/**/*.py")
OPPOSITE: dict[type, type] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Sub: ast.Add,
}  # fmt: skip
ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)  # of a condition, these are mutated besides the whole


@dataclass(frozen=True)
class Mutation:
    """One change of a file: the bytes from `start` to `end` become `new`; `first` to `last` are its statement's lines."""

    file: str
    line: int
    first: int
    last: int
    start: int
    end: int
    new: str
    what: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def collected(root: Path, patterns: tuple[str, ...] = ACTS) -> list[Mutation]:
    """Every mutation of the files that act, in a lasting order."""
    return [found for path, name in _files(root, patterns) for found in of_file(path, name)]


def firsts(root: Path, patterns: tuple[str, ...] = ACTS) -> Iterator[Mutation]:
    """One mutation of each file that has any, without looking for its others."""
    for path, name in _files(root, patterns):
        yield from itertools.islice(of_file(path, name), 1)


def _files(root: Path, patterns: tuple[str, ...]) -> list[tuple[Path, str]]:
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    return [(path, str(path.relative_to(root))) for path in paths]


def of_file(path: Path, name: str) -> Iterator[Mutation]:
    source = path.read_bytes()
    lines = [0, *itertools.accumulate(len(line) for line in source.splitlines(keepends=True))]
    tree = ast.parse(source)
    for node, statement, new in _changes(tree):
        start, end = lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
        header = statement.body[0].lineno - 1 if getattr(statement, "body", None) else statement.end_lineno
        old = " ".join(source[start:end].decode().split())
        what = f"`{old}` -> `{' '.join(new.split())}`"
        last = max(statement.lineno, node.lineno, header)
        first = min(statement.lineno, node.lineno)  # a decorator stands above the statement that it belongs to
        yield Mutation(name, node.lineno, first, last, start, end, new, what)


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, ast.stmt, str]]:
    """(what is replaced, the statement that it is part of, the new text)."""
    waiting: list[tuple[ast.AST, ast.stmt | None, ast.AST | None]] = [(node, None, tree) for node in tree.body]
    while waiting:
        node, statement, parent = waiting.pop(0)
        if _is_text(node) or _is_entry(node):
            continue
        statement = node if isinstance(node, ast.stmt) else statement
        yield from ((node, statement, new) for new in _of_statement(node, parent))
        yield from ((part, statement, f"not ({ast.unparse(part)})") for part in _conditions(node))
        if isinstance(node, ast.expr) and statement is not None:
            yield from ((node, statement, new) for new in _of_expression(node, parent))
        waiting += [(child, statement, node) for child in _children(node)]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Those that are run: no types."""
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            yield from (
                child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
            )


def _is_text(node: ast.AST) -> bool:
    """Texts, types and what decorates: nobody acts by them, or the grammar does not say where they stand (f-strings)."""
    return isinstance(node, ast.JoinedStr | ast.arg | ast.Import | ast.ImportFrom)


def _is_entry(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def _conditions(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return [] if isinstance(node.test, ast.Constant) else [node.test]
    return list(node.ifs) if isinstance(node, ast.comprehension) else []


def _of_statement(node: ast.AST, parent: ast.AST | None) -> Iterator[str]:
    """A statement that is not done: a call, a failure, a sum, a return before the end."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    is_early = isinstance(node, ast.Return) and isinstance(parent, ast.If | ast.For | ast.While | ast.With)
    if is_call or is_early or isinstance(node, ast.Raise | ast.AugAssign | ast.Continue | ast.Break | ast.Delete):
        yield "pass"


def _of_expression(node: ast.expr, parent: ast.AST | None) -> Iterator[str]:
    is_condition = parent is not None and node in _conditions(parent)
    match node:
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=0 | 1 as value) if not isinstance(parent, ast.keyword):
            yield str(1 - value)
        case ast.UnaryOp(op=ast.Not()) if not is_condition:
            yield f"({ast.unparse(node.operand)})"
        case ast.BoolOp():
            yield f"({ast.unparse(ast.BoolOp(OPPOSITE[type(node.op)](), node.values))})"
        case ast.BinOp() if type(node.op) in OPPOSITE:
            yield f"({ast.unparse(ast.BinOp(node.left, OPPOSITE[type(node.op)](), node.right))})"
        case ast.Compare(ops=[op]) if isinstance(op, ORDERED) or not is_condition:
            yield f"({ast.unparse(ast.Compare(node.left, [OPPOSITE[type(op)]()], node.comparators))})"
