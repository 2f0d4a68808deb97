"""Argument checks that the seam runs before any implementation of an op.

They read shapes and dtypes only, so that they also serve arrays that live on a device; values are
looked at where they are in host memory (ids and targets).
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def require_floats(op: str, **arrays: Any) -> None:
    """All given arrays (None is skipped) are float32, or all are float64."""
    first: str | None = None
    for name, array in arrays.items():
        if array is None:
            continue
        if not hasattr(array, "dtype") or not hasattr(array, "shape"):
            raise TypeError(
                f"{op}: {name} is a {type(array).__name__}, expected an array of floats"
            )
        if array.dtype not in FLOATS:
            raise TypeError(f"{op}: {name} is {array.dtype}, expected float32 or float64")
        if first is None:
            first = name
        elif array.dtype != arrays[first].dtype:
            raise TypeError(
                f"{op}: {first} is {arrays[first].dtype} but {name} is {array.dtype}; "
                "cast one of them, all float arguments share one dtype"
            )


def require_axes(op: str, name: str, array: Any, at_least: int) -> None:
    """The array has ``at_least`` axes or more."""
    if len(array.shape) < at_least:
        raise ValueError(f"{op}: {name} has shape {array.shape}, expected {at_least} axes or more")


def require_shape(op: str, name: str, array: Any, shape: tuple[int, ...], meaning: str) -> None:
    """The array has exactly this shape; ``meaning`` says where the shape comes from."""
    if array.shape != shape:
        raise ValueError(f"{op}: {name} has shape {array.shape}, expected {shape} ({meaning})")


def require_broadcast(op: str, name: str, array: Any, shape: tuple[int, ...], meaning: str) -> None:
    """The array broadcasts to ``shape`` without enlarging it."""
    fits = len(array.shape) <= len(shape) and all(
        got in (1, want) for got, want in zip(array.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"{op}: {name} has shape {array.shape}, expected a shape that broadcasts to {shape} "
            f"({meaning})"
        )


def require_boolean(op: str, name: str, mask: Any) -> None:
    """The array is boolean."""
    got = getattr(mask, "dtype", type(mask).__name__)
    if got != np.bool_:
        raise TypeError(f"{op}: {name} is {got}, expected a boolean array, True = keep")


def require_integers(op: str, name: str, ids: Any, limit: int, ignore: int | None = None) -> None:
    """All ids are integers in ``[0, limit)``, or equal to ``ignore``."""
    dtype = getattr(ids, "dtype", None)
    if dtype is None or not np.issubdtype(dtype, np.integer):
        raise TypeError(
            f"{op}: {name} is {dtype or type(ids).__name__}, expected an array of integers"
        )
    if not isinstance(ids, (np.ndarray, np.integer)):
        return  # on a device
    values = np.asarray(ids)
    wrong = (values < 0) | (values >= limit)
    if ignore is not None:
        wrong &= values != ignore
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise IndexError(
            f"{op}: {name}{list(position)} is {values[position]}, expected 0 <= value < {limit}"
        )


def require_probability(op: str, name: str, p: float) -> None:
    """A probability of dropping: 0 <= p < 1."""
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{op}: {name} is {p}, expected 0 <= {name} < 1")


def require_gradient(op: str, dy: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """The gradient dy has the shape and dtype of y."""
    if dy is None:
        raise TypeError(f"{op} backward: dy is None, expected the gradient of y")
    require_floats(f"{op} backward", dy=dy)
    require_shape(f"{op} backward", "dy", dy, shape, "the shape of y")
    if dy.dtype != dtype:
        raise TypeError(
            f"{op} backward: dy is {dy.dtype} but y is {dtype}; cast dy, "
            "all float arguments share one dtype"
        )


def check_gradient(
    op: str, like: Callable[[Any], tuple[tuple[int, ...], Any]]
) -> Callable[[Any, Any], None]:
    """The check of a backward: dy has the shape and dtype that ``like(cache)`` names."""

    def check(dy: Any, cache: Any) -> None:
        require_gradient(op, dy, *like(cache))

    return check


def check_scalar_gradient(op: str) -> Callable[[Any, Any], None]:
    """The check of a loss's backward: dy is one real number."""

    def check(dy: Any, cache: Any) -> None:
        if getattr(dy, "shape", ()) != ():
            raise ValueError(f"{op} backward: dy has shape {dy.shape}, expected one real number")
        real = dy.dtype.kind in "biuf" if hasattr(dy, "dtype") else isinstance(dy, Real)
        if not real:
            raise TypeError(f"{op} backward: dy is {dy!r}, expected one real number")

    return check
