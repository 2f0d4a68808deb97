"""One and the same array, laid out in memory in different ways."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def spread(array: Array) -> Array:
    """Use every other element of a larger buffer."""
    wide = np.full(tuple(2 * size for size in array.shape), _filler(array), array.dtype)
    view: Array = wide[_on_every_axis(array, slice(None, None, 2))]
    np.copyto(view, array)
    return view


def transposed(array: Array) -> Array:
    """Store the first axis fastest."""
    return np.array(array, order="F")


def backwards(array: Array) -> Array:
    """Store every axis from the end."""
    flip = _on_every_axis(array, slice(None, None, -1))
    flipped: Array = array[flip].copy()[flip]
    return flipped


def inside(array: Array) -> Array:
    """Cut the array out of the middle of a larger one."""
    padded = np.pad(array, 1, constant_values=_filler(array))
    middle: Array = padded[_on_every_axis(array, slice(1, -1))]
    return middle


def read_only(array: Array) -> Array:
    """Forbid writing, as a memory map does."""
    frozen = np.array(array)
    frozen.flags.writeable = False
    return frozen


def _on_every_axis(array: Array, cut: slice) -> Any:
    return (*[cut] * array.ndim, ...)


def _filler(array: Array) -> Any:
    """Fill what surrounds an array so that reading it shows."""
    return {"f": np.nan, "b": True}.get(array.dtype.kind, 0)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    layout.__name__: layout for layout in (spread, transposed, backwards, inside, read_only)
}
"""Layouts by name."""
