"""Tables of names: what we call a parameter, what a public checkpoint calls it, and how it lies.

The same rows are read from left to right to save a model, and from right to left to load one.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Arrays = Sequence[np.ndarray]
Sizes = Mapping[str, int]


class Transform(NamedTuple):
    """How the tensors of a public checkpoint become one of our parameters, and back.

    Attributes
    ----------
    join : function of arrays
        Their tensors, in the order of the row, to our parameter.
    split : function of an array and their shapes
        The inverse.
    """

    join: Callable[[Arrays], np.ndarray]
    split: Callable[[np.ndarray, Sequence[tuple[int, ...]]], Arrays]


def _parts(x: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> Arrays:
    ends = itertools.accumulate(shape[0] for shape in shapes)
    return np.split(x, list(ends)[:-1])


STACKED = Transform(np.concatenate, _parts)
"""One after another along the first axis; a single tensor stays as it is."""

TRANSPOSED = Transform(
    lambda theirs: np.concatenate(theirs).T, lambda ours, shapes: _parts(ours.T, shapes)
)
"""Stacked (out, in) there, (in, out) here."""


def paired(heads: int, kv_heads: int) -> Transform:
    """As TRANSPOSED, for queries, keys and values whose rotary pairs are neighbours there.

    Feature i of a head and feature ``i + D/2`` are a pair here. There, they are the rows 2i and
    2i + 1.
    """

    def join(theirs: Arrays) -> np.ndarray:
        q, k, v = theirs
        return TRANSPOSED.join([_pairs_to_halves(q, heads), _pairs_to_halves(k, kv_heads), v])

    def split(ours: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> Arrays:
        q, k, v = TRANSPOSED.split(ours, shapes)
        return [_halves_to_pairs(q, heads), _halves_to_pairs(k, kv_heads), v]

    return Transform(join, split)


def _pairs_to_halves(rows: np.ndarray, heads: int) -> np.ndarray:
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _halves_to_pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


class Row(NamedTuple):
    """One of our parameters.

    Attributes
    ----------
    ours : str
        Its name in the model.
    theirs : mapping
        The names of its tensors in the public checkpoint, and their shapes in letters, ``"C 3F"``.
    transform : Transform
    """

    ours: str
    theirs: Mapping[str, str]
    transform: Transform = STACKED

    def inside(self, ours: str, theirs: str) -> "Row":
        """The same parameter as a part of something else: prefixes are put before its names."""
        return Row(
            ours + self.ours,
            {theirs + name: shape for name, shape in self.theirs.items()},
            self.transform,
        )

    def shapes(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors, when the letters have these sizes."""
        return {
            name: tuple(_size(letters, sizes) for letters in shape.split())
            for name, shape in self.theirs.items()
        }


def _size(letters: str, sizes: Sizes) -> int:
    """``C``, or a multiple of it, ``3C``."""
    return int(letters[:-1] or 1) * sizes[letters[-1]]


def repeated(rows: Sequence[Row], count: int, ours: str, theirs: str) -> Iterator[Row]:
    """Rows of ``count`` blocks alike; ``{}`` in the prefixes is the number of the block."""
    for i in range(count):
        for row in rows:
            yield row.inside(ours.format(i), theirs.format(i))


def norm(ours: str, theirs: str) -> tuple[Row, Row]:
    """Gain and shift of a layer normalisation."""
    return (
        Row(f"{ours}.gamma", {f"{theirs}.weight": "C"}),
        Row(f"{ours}.beta", {f"{theirs}.bias": "C"}),
    )


def linear(ours: str, theirs: str, shape: str) -> tuple[Row, Row]:
    """Weight, whose shape (out, in) is given, and bias of a linear map."""
    return (
        Row(f"{ours}.weight", {f"{theirs}.weight": shape}, TRANSPOSED),
        Row(f"{ours}.bias", {f"{theirs}.bias": shape.split()[0]}),
    )
