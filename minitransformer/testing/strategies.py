"""Hypothesis strategies: axis lengths, arrays, masks, layouts and whole inputs of ops.

The only module here that needs hypothesis; the laws themselves draw from a seeded rng.
"""

from typing import Any, cast

import numpy as np
from hypothesis import strategies as st

from minitransformer.testing.layouts import LAYOUTS, Array
from minitransformer.testing.specs import Arguments, Dims, OpSpec

LONGEST = 5

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("float32", "float64"))
lengths = st.integers(1, LONGEST)


def shapes(least: int = 1, most: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw shapes of ``least`` to ``most`` axes, none of them empty."""
    return st.lists(lengths, min_size=least, max_size=most).map(tuple)


@st.composite
def dims(draw: st.DrawFn, spec: OpSpec) -> Dims:
    """Draw a length for every axis letter of an op."""
    return {letter: draw(lengths, label=letter) for letter in spec.dims}


@st.composite
def inputs(draw: st.DrawFn, spec: OpSpec, smooth: bool = False) -> tuple[str, Arguments]:
    """Draw one set of an op's arguments, at any axis lengths, with its label.

    ``smooth`` leaves out those at which there is no derivative.
    """
    cases = spec.cases(draw(seeds), draw(dims(spec)))
    labels = [label for label in cases if not (smooth and label in spec.kinks)]
    label = draw(st.sampled_from(labels))
    return label, cases[label]


@st.composite
def arrays(draw: st.DrawFn, shape: Any, dtype: Any = "float64", size: float = 1.0) -> Array:
    """Draw normal numbers of a size, in any memory layout; ``shape`` may be a strategy."""
    drawn = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    precision = draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype
    values = size * np.random.default_rng(draw(seeds)).standard_normal(drawn)
    return cast(Array, draw(layouts())(values.astype(precision)))


def layouts() -> st.SearchStrategy[Any]:
    """Draw a function that lays an array out in memory in another way, or in the usual one."""
    return st.sampled_from((np.copy, *LAYOUTS.values()))


@st.composite
def masks(draw: st.DrawFn, scores: tuple[int, ...], closed_rows: bool = True) -> Array:
    """Draw a mask that broadcasts to the shape of the scores, with fewer or shorter axes.

    ``closed_rows`` allows rows in which everything is hidden.
    """
    cut = draw(st.integers(0, len(scores) - 1), label="missing axes")
    shape = tuple(draw(st.sampled_from((size, 1))) for size in scores[cut:])
    openness = draw(st.sampled_from((0.0, 0.3, 0.7, 1.0)))
    mask = np.random.default_rng(draw(seeds)).random(shape) < openness
    if not closed_rows:
        mask[..., -1] = True
    return cast(Array, draw(layouts())(mask))
