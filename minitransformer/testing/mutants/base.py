"""The form of a mutant: a small edit of the library's own source, and what it teaches."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minitransformer.testing.checks import Row, check_function, check_op
from minitransformer.testing.functions import FUNCTIONS
from minitransformer.testing.specs import SPECS
from minitransformer.testing.subject import TOLERANCES


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
    """

    name: str
    target: Callable[..., Any]
    edits: Mapping[str, str] = field(repr=False)
    misconception: str = field(repr=False)
    hint: str = field(repr=False)

    def build(self) -> Callable[..., Any]:
        """Compile the wrong version, in the namespace of the right one.

        Raises
        ------
        ValueError
            If an old text does not stand in the source exactly once.
        """
        function = inspect.unwrap(_textbook(self.target))
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.edits.items():
            if source.count(old) != 1:
                raise ValueError(
                    f"mutant {self.name}: {old!r} stands {source.count(old)} times in "
                    f"{function.__qualname__}, expected once"
                )
            source = source.replace(old, new)
        module = ast.parse(source)
        (definition,) = module.body
        definition.decorator_list = []  # type: ignore[attr-defined]
        namespace = dict(vars(sys.modules[function.__module__]))
        exec(compile(module, f"<mutant {self.name}>", "exec"), namespace)
        built: Callable[..., Any] = namespace[function.__name__]
        return built

    def rejection(self) -> str:
        """Try all laws; return how the first one is broken, and nothing if all hold."""
        rows = (row for dtype in TOLERANCES for row in self._check(dtype))
        with np.errstate(all="ignore"):
            return next((row.verdict for row in rows if not row.passed), "")

    def _check(self, dtype: str) -> list[Row]:
        if self.target.__qualname__ in FUNCTIONS:
            spec = FUNCTIONS[self.target.__qualname__]
            return check_function(replace(spec, function=self.build()), dtypes=[dtype])
        impls: dict[str, Any] = getattr(self.target, "impls")  # noqa: B009
        impls["mutant"] = self.build()
        try:
            return check_op(SPECS[self.target.__name__.rpartition("_")[0]], "mutant", [dtype])
        finally:
            del impls["mutant"]


def _textbook(target: Callable[..., Any]) -> Callable[..., Any]:
    impls: Mapping[str, Callable[..., Any]] = getattr(target, "impls", {"numpy": target})
    return impls["numpy"]
