"""Verbs on state: the few operations that overwrite arrays, always at their owner's request."""

from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import require_axes, require_floats, require_shape

CHUNK = 32_768  # elements that are worked on at once, so that temporaries stay in a core's cache


def require_state(op: str, **arrays: Any) -> None:
    """Arrays of floats of one dtype that may be written and share no memory."""
    require_floats(op, **arrays)
    for name, array in arrays.items():
        if isinstance(array, np.ndarray | np.generic) and not array.flags.writeable:
            raise ValueError(f"{op}: {name} is read-only, expected an array that may be written")
    for (name, array), (other_name, other) in combinations(arrays.items(), 2):
        require_apart(op, name, array, other_name, other)


def require_apart(op: str, name: str, array: Any, other_name: str, other: Any) -> None:
    """The two arrays share no memory."""
    in_host_memory = isinstance(array, np.ndarray) and isinstance(other, np.ndarray)
    if array is other or (in_host_memory and np.shares_memory(array, other)):
        raise ValueError(f"{op}: {name} and {other_name} share memory, expected separate arrays")


def _check_accumulate(total: Any, part: Any) -> None:
    require_floats("accumulate", total=total, part=part)
    require_state("accumulate", total=total)
    require_shape("accumulate", "part", part, total.shape, "the shape of total")


@op(_check_accumulate)
def accumulate(total: Float[np.ndarray, "..."], part: Float[np.ndarray, "..."]) -> None:
    """Add ``part`` to ``total`` where it stands: how gradients of several paths meet."""
    np.add(total, part, out=total)


def _check_scale(x: Any, factor: float) -> None:
    require_state("scale_", x=x)


@op(_check_scale)
def scale_(x: Float[np.ndarray, "..."], factor: float) -> None:
    """Multiply every element by one number."""
    np.multiply(x, float(factor), out=x)


def _check_zero(x: Any) -> None:
    require_state("zero_", x=x)


@op(_check_zero)
def zero_(x: Float[np.ndarray, "..."]) -> None:
    """Set every element to 0, as before each accumulation of gradients."""
    x.fill(0.0)


def _check_sum_of_squares(x: Any) -> None:
    require_floats("sum_of_squares", x=x)


@op(_check_sum_of_squares)
def sum_of_squares(x: Float[np.ndarray, "..."]) -> float:
    """Square of the Euclidean length of all elements together.

    It is accumulated in float64; beyond the largest float64 it is infinite.
    """
    with (
        np.nditer(
            x,
            ["external_loop", "buffered", "zerosize_ok"],
            op_dtypes=np.dtype(np.float64),
            buffersize=CHUNK,
        ) as chunks,
        np.errstate(over="ignore"),
    ):
        return float(sum(np.square(chunk).sum() for chunk in chunks))


def _check_kv_append(keys: Any, values: Any, length: int, k: Any, v: Any) -> None:
    name = "kv_append"
    require_floats(name, keys=keys, values=values, k=k, v=v)
    require_state(name, keys=keys, values=values)
    for argument, array in (("keys", keys), ("values", values), ("k", k), ("v", v)):
        require_axes(name, argument, array, 4)
    batch, heads, size, width = keys.shape
    new = k.shape[2]
    require_shape(name, "k", k, (batch, heads, new, width), "B, H and D of keys")
    require_shape(name, "values", values, (*keys.shape[:3], values.shape[-1]), "B, H, S of keys")
    require_shape(name, "v", v, (batch, heads, new, values.shape[-1]), "T of k, Dv of values")
    if not 0 <= length <= size - new:
        raise ValueError(
            f"{name}: length is {length} and k brings {new} positions, but the buffers hold "
            f"{size}; start over with the newest tokens, or allocate longer buffers"
        )


@op(_check_kv_append)
def kv_append(
    keys: Float[np.ndarray, "B H S D"],
    values: Float[np.ndarray, "B H S Dv"],
    length: int,
    k: Float[np.ndarray, "B H T D"],
    v: Float[np.ndarray, "B H T Dv"],
) -> tuple[Float[np.ndarray, "B H filled D"], Float[np.ndarray, "B H filled Dv"]]:
    """Remember the keys and values of new tokens, so that none is ever computed again.

    Parameters
    ----------
    keys, values : (B, H, S, D) and (B, H, S, Dv)
        Buffers allocated beforehand, updated in place.
    length
        Number of positions filled so far; the new ones go behind them.
    k, v : (B, H, T, D) and (B, H, T, Dv)
        Keys and values of the new tokens.

    Returns
    -------
    keys, values : (B, H, length + T, D) and (B, H, length + T, Dv)
        Views of the filled part of the buffers.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If shapes do not fit together, or the new tokens do not fit into the buffers.
    """
    end = length + k.shape[2]
    keys[:, :, length:end] = k
    values[:, :, length:end] = v
    return keys[:, :, :end], values[:, :, :end]
