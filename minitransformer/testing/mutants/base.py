"""The form of a mutant: a small edit of the library's own source, and what it teaches."""

import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import CodeType
from typing import Any

import numpy as np

from minitransformer.testing.checks import Row, check_function, check_op
from minitransformer.testing.functions import function_spec
from minitransformer.testing.specs import SPECS
from minitransformer.testing.subject import TOLERANCES

MOST_ROUNDS = 2**16
"""After so many rounds of its while loops a mutant is taken to be endless."""

_NEXT_ROUND = "_next_round"


@dataclass(frozen=True)
class Mutant:
    """A wrong version of a function: a mistake that people make.

    Attributes
    ----------
    name : str
        The name of the mistake.
    target : callable
        The function that it is a version of.
    edits : mapping of str to str
        Old text and new. Each old text stands in the function's source exactly once, so a mutant
        follows the source or fails, and never drifts.
    misconception : str
        What the author of the mistake believed.
    hint : str
        Where to look, without giving the answer away.
    helpers : tuple of callables
        Functions and classes of the target's module that the edits may change as well.
    """

    name: str
    target: Callable[..., Any]
    edits: Mapping[str, str] = field(repr=False)
    misconception: str = field(repr=False)
    hint: str = field(repr=False)
    helpers: tuple[Callable[..., Any], ...] = field(default=(), repr=False)

    def build(self) -> Callable[..., Any]:
        """Compile the wrong version, in the namespace of the right one; it always comes to an end.

        Raises
        ------
        ValueError
            If an old text does not stand in the source exactly once.
        """
        function = self._function
        namespace = {**vars(sys.modules[function.__module__]), _NEXT_ROUND: _counter()}
        exec(self._code, namespace)
        built: Callable[..., Any] = namespace[function.__name__]
        return built

    @property
    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = inspect.unwrap(textbook(self.target))
        return function

    @cached_property
    def _code(self) -> CodeType:
        """The edited source, compiled."""
        function = self._function
        source = "\n".join(map(_source, (*self.helpers, function)))
        for old, new in self.edits.items():
            if source.count(old) != 1:
                raise ValueError(
                    f"mutant {self.name}: {old!r} stands {source.count(old)} times in "
                    f"{function.__qualname__}, expected once"
                )
            source = source.replace(old, new)
        module = ast.parse(source)
        for definition in module.body:
            definition.decorator_list = _decorators(definition)  # type: ignore[attr-defined]
            if not definition.decorator_list:  # type: ignore[attr-defined]
                _count_rounds(definition)
        return compile(module, f"<mutant {self.name}>", "exec")

    def rejection(self) -> str:
        """Try all laws; return how the first one is broken, and nothing if all hold."""
        rows = (row for dtype in TOLERANCES for row in self._check(dtype))
        with np.errstate(all="ignore"):
            return next((row.verdict for row in rows if not row.passed), "")

    def _check(self, dtype: str) -> list[Row]:
        spec = function_spec(self.target)
        if spec is not None:
            return check_function(replace(spec, function=self.build()), dtypes=[dtype])
        impls: dict[str, Any] = getattr(self.target, "impls")  # noqa: B009
        impls["mutant"] = self.build()
        try:
            return check_op(SPECS[self.target.__name__.rpartition("_")[0]], "mutant", [dtype])
        finally:
            del impls["mutant"]


def textbook(target: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the library's own text defines it, behind a dispatchable op or not."""
    impls: Mapping[str, Callable[..., Any]] = getattr(target, "impls", {"numpy": target})
    return impls["numpy"]


def _count_rounds(definition: ast.stmt) -> None:
    """Let every round of a while loop be counted: a mistake may make it go on for ever."""
    for loop in ast.walk(definition):
        if isinstance(loop, ast.While):
            loop.body[:0] = ast.parse(f"{_NEXT_ROUND}()").body
    ast.fix_missing_locations(definition)


def _counter() -> Callable[[], None]:
    rounds = itertools.count(1)

    def next_round() -> None:
        if next(rounds) > MOST_ROUNDS:
            raise RuntimeError(f"no end after {MOST_ROUNDS:,} rounds")

    return next_round


@cache
def _source(definition: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(inspect.unwrap(definition)))


def _decorators(definition: Any) -> list[ast.expr]:
    """A kernel has to stay one; but no mutant enters the table of ops, or runs out of bounds."""
    return [each for each in definition.decorator_list if ast.unparse(each) == "cuda.jit"]
