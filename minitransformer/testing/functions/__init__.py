"""Specifications of what has no backward: each function beside a slow one that is surely right."""

import inspect

from minitransformer.testing.functions.base import Function, FunctionSpec
from minitransformer.testing.functions.comparison import equals_reference
from minitransformer.testing.functions.composition import COMPOSITION
from minitransformer.testing.functions.generation import GENERATION
from minitransformer.testing.functions.learning import LEARNING
from minitransformer.testing.functions.positions import POSITIONS
from minitransformer.testing.functions.state import STATE
from minitransformer.testing.functions.text import TEXT
from minitransformer.testing.functions.updates import UPDATES

__all__ = ["FUNCTIONS", "Function", "FunctionSpec", "equals_reference", "function_spec"]

FUNCTIONS: dict[str, FunctionSpec] = {
    spec.name: spec
    for spec in (*STATE, *UPDATES, *COMPOSITION, *LEARNING, *POSITIONS, *TEXT, *GENERATION)
}
"""The specification of every such function by name."""


def function_spec(function: Function) -> FunctionSpec | None:
    """Find a function's specification; None if it has none, as one half of an op.

    Those of kernels are loaded when the first is asked for, since they need Numba.
    """
    name = inspect.unwrap(function).__qualname__
    if function.__module__.startswith("minitransformer.ladders"):
        from minitransformer.testing.functions.kernels import KERNELS

        return KERNELS[name]
    return FUNCTIONS.get(name)
