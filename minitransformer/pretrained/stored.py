"""What the readers of all formats return: tensors that are still in their file."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minitransformer.errors import InputError


class StoredTensor(NamedTuple):
    """A tensor in a file, whose place there was found to be sound.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        As the format calls it.
    read : function
        Reads it, as float32; raises InputError if it cannot be that.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


class Extent(NamedTuple):
    """The bytes ``start`` to ``end`` of a file, which a tensor claims."""

    start: int
    end: int
    name: str


MOST_AXES = 8


def check_sizes(name: str, shape: Any) -> tuple[int, ...]:
    """See to it that something is a shape; the product of its sizes may still be absurd.

    Raises
    ------
    InputError
        Names the tensor.
    """
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_AXES
        or not all(type(size) is int and 0 <= size < 2**63 for size in shape)
    ):
        raise InputError(
            f"tensor {name} has the shape {str(shape)[:80]}, expected at most {MOST_AXES} sizes"
        )
    return tuple(shape)


def check_extents(extents: list[Extent], size: int) -> None:
    """See to it that no two tensors share a byte, and all lie within ``size`` bytes.

    Raises
    ------
    InputError
        Names a tensor that does not, or two that overlap.
    """
    last = Extent(0, 0, "")
    for extent in sorted(extents):
        if not 0 <= extent.start <= extent.end <= size:
            raise InputError(
                f"tensor {extent.name} is said to be the bytes {extent.start} to {extent.end} of "
                f"{size}; is the file cut off?"
            )
        if extent.start < last.end:
            raise InputError(f"tensors {last.name} and {extent.name} overlap")
        last = extent


def read_bytes(path: Path, start: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Read an array from the middle of a file.

    Raises
    ------
    InputError
        If it is not there (any more).
    """
    count = math.prod(shape)
    try:
        with path.open("rb") as file:
            file.seek(start)
            array = np.fromfile(file, dtype, count)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if array.size < count:
        raise InputError(f"{path} became shorter while it was read")
    return array.reshape(shape)
