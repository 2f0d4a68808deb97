"""The form of a function's specification."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.testing.specs import Cases

Function = Callable[..., Any]


@dataclass(frozen=True)
class FunctionSpec:
    """How to try a function that returns a result, or overwrites arrays that it is given.

    Attributes
    ----------
    name : str
        The function's name.
    function : callable
        What is on trial.
    reference : callable
        The same, written independently; it may be slow.
    inputs : callable
        ``inputs(rng)`` draws arguments, floats in float64, by label.
    harness : callable
        Makes of the function on trial a function of these arguments, where it is not one itself.
    """

    name: str
    function: Function
    reference: Function
    inputs: Callable[[np.random.Generator], Cases]
    harness: Callable[[Function], Function] = lambda function: function
