"""The form of a specification."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.backend import Op

Dims = Mapping[str, int]
Arguments = dict[str, Any]
Cases = dict[str, Arguments]


@dataclass(frozen=True)
class OpSpec:
    """How to call an op so that no mistake can hide.

    Attributes
    ----------
    name : str
        The op's name, without ``_forward``.
    forward, backward : Op
        The pair.
    inputs : callable
        ``inputs(rng, dims)`` draws forward's arguments, one set for each kind of input that some
        implementation has got wrong, by a label that says what is special about it. Floats are
        float64 and random, parameters never at their initial values.
    wrt : tuple of str
        Forward's differentiable arguments, in the order of backward's gradients.
    dims : mapping of str to int
        Length of each axis by letter. All differ, so that no two axes can be confused.
    kinks : tuple of str
        Labels of inputs at which finite differences do not apply: there is no derivative, or
        too few digits are left to measure it.
    """

    name: str
    forward: Op[..., Any]
    backward: Op[..., Any]
    inputs: Callable[[np.random.Generator, Dims], Cases]
    wrt: tuple[str, ...]
    dims: Dims
    kinks: tuple[str, ...] = ()

    def cases(self, seed: int = 0, dims: Dims | None = None) -> Cases:
        """Draw all inputs, at the default axis lengths or at others."""
        return self.inputs(np.random.default_rng(seed), self.dims if dims is None else dims)

    def other_dims(self) -> dict[str, Dims]:
        """Axis lengths at which loops over tiles and vectors end badly: odd ones, and ones."""
        odd: Dims = {letter: 2 * size + 1 for letter, size in self.dims.items()}
        ones: dict[str, Dims] = {f"{letter} = 1": {**self.dims, letter: 1} for letter in self.dims}
        return {"odd lengths": odd, **ones}


def some_of_each_row(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Draw a mask that leaves at least one position of the last axis open."""
    mask = rng.random(shape) < 0.6
    np.put_along_axis(mask, rng.integers(shape[-1], size=(*shape[:-1], 1)), True, axis=-1)
    return mask


def with_closed_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Draw a mask of which every other row, at least one, hides everything."""
    mask = some_of_each_row(rng, shape)
    mask.reshape(-1, shape[-1])[::2] = False
    return mask
