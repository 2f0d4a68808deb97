"""A function's source in statements, and the forward line that a backward one differentiates."""

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from minitransformer.errors import InputError


@dataclass(frozen=True)
class Statement:
    """A statement; of a loop or a condition, its header.

    Attributes
    ----------
    first, last : int
        Line numbers in the file.
    code : str
        The source, without indentation.
    depth : int
        How far it is indented.
    binds : tuple of str
        Names that it assigns, also in part.
    mentions : frozenset of str
        All names in it.
    returns : tuple of str
        If it returns: the expressions, the items of a tuple one by one.
    quote : str
        The forward line quoted in the comment above its group, as backward does.
    """

    first: int
    last: int
    code: str
    depth: int
    binds: tuple[str, ...]
    mentions: frozenset[str]
    returns: tuple[str, ...]
    quote: str


@dataclass(frozen=True)
class Listing:
    """The source of a function: its name, its header and its statements, without docstring."""

    name: str
    header: str
    statements: tuple[Statement, ...]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Listing":
        """Read the source of a Python function.

        Raises
        ------
        InputError
            If there is no source, as of a built-in or of what was typed at Python's prompt.
        """
        try:
            lines, start = inspect.getsourcelines(function)
        except (OSError, TypeError) as error:
            raise InputError(
                f"{function!r} has no source to step through; define it with def in a file or in "
                "a notebook cell"
            ) from error
        source = textwrap.dedent("".join(lines))
        definition = ast.parse(source).body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise InputError(f"{function!r} is not defined with def; write it as a def to step")
        body = definition.body[1:] if ast.get_docstring(definition) else definition.body
        statements = tuple(_statements(body, source.splitlines(), max(start, 1) - 1, 0))
        return cls(definition.name, _header(definition), statements)

    def at(self, line: int) -> int | None:
        """Index of the statement that a line of the file belongs to."""
        for index, statement in enumerate(self.statements):
            if statement.first <= line <= statement.last:
                return index
        return None

    def names(self) -> set[str]:
        """All names that the function binds."""
        return {name for statement in self.statements for name in statement.binds}

    def quoted(self, quote: str, executed: Collection[int]) -> int | None:
        """Index of the statement that a comment of backward quotes, loosely or word by word.

        It binds the name that the quote starts with, ``y`` being what is returned first; of
        several such statements among the executed ones, the most similar one.
        """
        if not quote:
            return None

        def binding(name: str) -> list[int]:
            return [i for i in executed if name in self.statements[i].binds]

        found = binding(re.match(r"\w*", quote).group())  # type: ignore[union-attr]
        if not found:
            returned = [i for i in executed if self.statements[i].returns][-1:]
            found = [i for at in returned for i in binding(self.statements[at].returns[0])][-1:]
            found = found or returned

        def likeness(index: int) -> float:
            return difflib.SequenceMatcher(None, quote, self.statements[index].code).ratio()

        return max(found, key=likeness, default=None)


def _statements(
    body: list[ast.stmt], lines: list[str], offset: int, depth: int
) -> Iterator[Statement]:
    for node in body:
        blocks = [
            getattr(node, name) for name in ("body", "orelse", "finalbody") if hasattr(node, name)
        ]
        blocks += [handler.body for handler in getattr(node, "handlers", [])]
        inner = [block for block in blocks if block]
        is_compound = bool(inner) and not isinstance(node, ast.FunctionDef | ast.ClassDef)
        last = node.end_lineno or node.lineno
        if is_compound:
            last = max(node.lineno, inner[0][0].lineno - 1)
        parts = list(_header_parts(node)) if is_compound else [node]
        code = textwrap.dedent("\n".join(lines[node.lineno - 1 : last]))
        yield Statement(
            first=node.lineno + offset,
            last=last + offset,
            code="\n".join(line for line in code.splitlines() if not _is_comment(line)),
            depth=depth,
            binds=tuple(dict.fromkeys(name for part in parts for name in _bound(part))),
            mentions=frozenset(
                each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)
            ),
            returns=tuple(_returned(node)),
            quote="" if _returns_names(node) else _quote_above(lines, node.lineno),
        )
        if is_compound:
            for block in inner:
                yield from _statements(block, lines, offset, depth + 1)


def _header_parts(node: ast.stmt) -> Iterator[ast.AST]:
    for _, value in ast.iter_fields(node):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and not isinstance(part, ast.stmt | ast.excepthandler):
                yield part


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that are stored to, ``x`` also in ``x[0] = 1``; and the functions defined."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Name | ast.Subscript) and isinstance(each.ctx, ast.Store):
            base: ast.AST = each
            while isinstance(base, ast.Subscript | ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name):
                yield base.id


def _returned(node: ast.stmt) -> list[str]:
    if not isinstance(node, ast.Return) or node.value is None:
        return []
    items = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return [ast.unparse(item) for item in items]


def _returns_names(node: ast.stmt) -> bool:
    """Whether it only returns what is computed already."""
    return isinstance(node, ast.Return) and all(map(str.isidentifier, _returned(node)))


def _quote_above(lines: list[str], line: int) -> str:
    """The nearest comment above, in the same block."""
    indent = len(lines[line - 1]) - len(lines[line - 1].lstrip())
    for above in reversed(lines[: line - 1]):
        stripped = above.strip()
        if not stripped or len(above) - len(above.lstrip()) < indent:
            return ""
        if stripped.startswith("# "):
            return stripped[2:] if re.match(r"#\s\w[\w\[\], ]* [-+*/]?= ", stripped) else ""
    return ""


def _is_comment(line: str) -> bool:
    return line.strip().startswith("#")


def _header(definition: ast.FunctionDef) -> str:
    """Name and parameters, without annotations."""
    arguments = definition.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        each.annotation = None
    return f"def {definition.name}({ast.unparse(arguments)}):"
