"""What kernels are given: contiguous arrays of one or two axes, so that each compiles once a dtype.

Every stride pattern, every number of axes and read-only memory would each be another type to Numba,
and another second of compiling. Python brings them into one form; where that needs a copy, it costs
little beside what it saves.
"""

import math

import numpy as np

from minitransformer.backends.numba.threads import Array


def is_plain(x: Array) -> bool:
    """Whether x is contiguous and writeable, and no subclass such as a memory map."""
    return type(x) is np.ndarray and x.flags.carray


def own(x: Array) -> Array:
    """Return x if it is plain, else a copy that is."""
    return x if is_plain(x) else np.array(x, order="C")


def with_dense_rows(x: Array) -> Array:
    """Return x if the features of every row lie side by side, else a copy of which that is true."""
    return x if x.strides[-1] == x.itemsize and x.flags.aligned else np.array(x, order="C")


def flat(x: Array) -> Array:
    """All elements along one axis."""
    return own(x).reshape(-1)


def rows(x: Array) -> Array:
    """All positions along the first axis, the features along the second."""
    return own(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def repeating_rows(x: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast x to ``shape`` in few rows: row n of the whole is row ``n % len(result)``."""
    missing = len(shape) - x.ndim
    sizes = (1,) * missing + x.shape
    leading = next((axis for axis, size in enumerate(sizes) if size != 1), len(sizes))
    kept = shape[min(leading, len(shape) - 1) :]
    return rows(np.broadcast_to(x.reshape(sizes[len(sizes) - len(kept) :]), kept))
