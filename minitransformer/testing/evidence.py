"""What a diagnosis may look at, and the few measurements that all explanations share."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from minitransformer.testing.differences import Vector

Mask = npt.NDArray[np.bool_]

FIT = 1e-5
LETTERS = {
    "B": "the batch size",
    "T": "the number of query positions",
    "S": "the number of key positions",
    "C": "the model width",
    "H": "the number of heads",
    "D": "the head width",
    "V": "the vocabulary size",
    "F": "the feed-forward width",
    "N": "the number of rows",
}


@dataclass(frozen=True)
class Evidence:
    """A wrong gradient beside the true one, with all that was known when it was computed.

    Attributes
    ----------
    argument : str
        The argument of forward whose gradient is wrong.
    analytic : ndarray
        What backward returned; it may have a wrong shape.
    numeric : ndarray, shape of the argument
        What finite differences give; NaN where an entry was not sampled.
    inputs : mapping
        All arguments of forward by name.
    arrays : mapping
        Arrays that may have been forgotten: dy, y, float inputs and fields of the cache, by name.
    others : mapping
        The true gradients of the other arguments.
    tripled : ndarray or None
        What backward returns for 3 dy.
    dims : mapping
        Axis lengths by letter, {"B": 4, "T": 3}, so that a wrong factor can be named.
    right_when : tuple of str
        Labels of the other inputs for which this gradient is right.
    is_zero : bool
        Whether y does not depend on the argument at all.
    floor : float
        Smaller gradients are not resolved by finite differences.
    """

    argument: str
    analytic: Vector
    numeric: Vector
    inputs: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Vector] = field(default_factory=dict)
    others: Mapping[str, Vector] = field(default_factory=dict)
    tripled: Vector | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    right_when: tuple[str, ...] = ()
    is_zero: bool = False
    floor: float = 0.0

    @property
    def gradient(self) -> str:
        """The usual name of the gradient: d and the argument."""
        return f"d{self.argument}"

    @property
    def known(self) -> Mask:
        """Which entries of the true gradient were measured."""
        return np.isfinite(self.numeric)

    @property
    def difference(self) -> Vector:
        """Analytic minus numeric: what is there too much, or with a minus sign, missing."""
        return self.analytic - self.numeric

    @property
    def wrong(self) -> Mask:
        """Which of the measured entries are wrong."""
        wrong: Mask = self.known & (np.abs(self.difference) > FIT / 10 * self._largest)
        return wrong

    @property
    def _largest(self) -> float:
        return float(np.nanmax(np.abs(self.numeric), initial=0.0))

    def vanishes(self, array: Vector, where: Mask) -> bool:
        """Whether an array of the argument's shape is zero in all measured entries of a mask."""
        return bool((np.abs(array[where & self.known]) <= FIT / 10 * self._largest).all())

    def is_true(self, candidate: Vector) -> bool:
        """Whether an array equals the true gradient."""
        return candidate.shape == self.numeric.shape and agree(candidate, self.numeric)

    def candidates(self) -> Iterator[tuple[str, Vector]]:
        """Yield named arrays that broadcast to the argument's shape, and dy times each of them."""
        dy = _broadcast(self.arrays.get("dy"), self.numeric.shape)
        for name, array in self.arrays.items():
            full = _broadcast(array, self.numeric.shape)
            if full is not None:
                yield name, full
                if dy is not None and name != "dy":
                    yield f"dy * {name}", dy * full

    def masks(self) -> Iterator[tuple[str, Mask]]:
        """Yield what the boolean arguments say about the entries of the gradient (True: kept)."""
        for label, mask in raw_masks(self.inputs):
            views = [mask, mask[..., None]]
            if mask.ndim >= 2:  # a query that sees no key, a key that no query sees
                views += [_any(mask, -1)[..., None], _any(mask, -2)[..., None]]
            for view in views:
                full = _broadcast(view, self.numeric.shape)
                if full is not None and full.any() and not full.all():
                    yield label, full

    def lengths(self) -> list[tuple[int, str]]:
        """List the numbers a gradient is typically divided by wrongly, with their meaning."""
        arrays = {k: v for k, v in self.inputs.items() if isinstance(v, np.ndarray)}
        found = [
            (n, f"{letter}, {LETTERS.get(letter, 'a size')}") for letter, n in self.dims.items()
        ]
        found += [
            (n * m, f"{a} * {b}") for (a, n), (b, m) in permutations(self.dims.items(), 2) if a < b
        ]
        for name, array in arrays.items():
            axes = [(n, f"the length of axis {i} of {name}") for i, n in enumerate(array.shape)]
            found += [(n, meaning) for n, meaning in axes if n not in self.dims.values()]
            found.append((array.size, f"the number of elements of {name}"))
            if array.ndim > 1:
                rows = array.size // max(1, array.shape[-1])
                found.append((rows, f"the number of rows of {name}"))
        found += [
            (int(m.sum()), f"the number of True in {label}") for label, m in raw_masks(self.inputs)
        ]
        return [(n, meaning) for n, meaning in found if n > 1]

    def axis_name(self, axis: int) -> str:
        """Say which axis, with its letter if only one dimension has this length."""
        letters = [k for k, n in self.dims.items() if n == self.numeric.shape[axis]]
        return f"axis {axis}" + (f" ({letters[0]})" if len(letters) == 1 else "")


def raw_masks(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Mask]]:
    """Yield boolean arguments, and `targets != ignore_index` for integer ones that are ignored."""
    arrays = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray) and v.ndim}
    for name, array in arrays.items():
        if array.dtype == np.bool_:
            yield name, array
        elif array.dtype.kind in "iu":
            for other, value in inputs.items():
                if (
                    isinstance(value, int)
                    and not isinstance(value, bool)
                    and (array == value).any()
                ):
                    yield f"{name} != {other}", array != value


def agree(candidate: Vector, target: Vector) -> bool:
    """Whether two arrays are equal to about five digits of the target's largest entry."""
    known = np.isfinite(target)
    largest = np.abs(target[known]).max(initial=0.0)
    return bool((np.abs(candidate - target)[known] <= FIT * largest).all() and largest > 0)


def fit(target: Vector, basis: Vector) -> float | None:
    """Return the number c for which target = c * basis in every entry, or None."""
    known = np.isfinite(target)
    square = float(np.vdot(basis[known], basis[known]))
    if square == 0 or not math.isfinite(square):
        return None
    c = float(np.vdot(basis[known], target[known])) / square
    return c if agree(c * basis, target) else None


def fits_along(target: Vector, basis: Vector, axis: int) -> bool:
    """Whether target = c * basis with a c that is constant along one axis.

    Each line along the axis has a c of its own, so it takes lines of two entries or more, and
    enough of them, to be convinced.
    """
    known = np.isfinite(target)
    target, basis = np.where(known, target, 0.0), np.where(known, basis, 0.0)
    square = (basis * basis).sum(axis, keepdims=True)
    touched = target != 0
    if touched.sum() - touched.any(axis).sum() < 3:
        return False
    c = (basis * target).sum(axis, keepdims=True) / np.where(square == 0, 1.0, square)
    return agree(c * basis, np.where(known, target, np.nan))


def _any(mask: Mask, axis: int) -> Mask:
    return np.asarray(mask.any(axis))


def _broadcast(array: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    try:
        return None if array is None else np.broadcast_to(array, shape)
    except ValueError:
        return None
