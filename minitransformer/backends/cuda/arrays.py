"""Arrays that live on the device. Only kernels look into them."""

import functools
import math
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minitransformer.backends.cuda.device import current_device
from minitransformer.backends.cuda.memory import Block, Pool

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = Any
"""A :class:`DeviceArray`, where the textbook says ndarray."""

FLOAT = np.dtype(np.float32)
DTYPES = (FLOAT, np.dtype(np.int64), np.dtype(np.bool_))


@functools.cache
def pool() -> Pool:
    """Memory of the current device."""
    return Pool(current_device())


class DeviceArray:
    """A contiguous array of float32, int64 or bool on the device.

    It has a shape, a dtype, a size and ``reshape``. There are no operators: every one would be a
    kernel that nobody wrote. :meth:`to_host` is the way back.

    Parameters
    ----------
    block, offset
        The memory, and where in it the array begins, in bytes.
    shape, dtype
        Of the array.
    """

    __slots__ = ("block", "dtype", "offset", "shape")

    def __init__(self, block: Block, offset: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.block = block
        self.offset = offset
        self.shape = shape
        self.dtype = dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def reshape(self, *shape: Any) -> "DeviceArray":
        """View the same elements in another shape; one size may be -1."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        known = math.prod(size for size in sizes if size != -1)
        filled = tuple(self.size // max(known, 1) if size == -1 else int(size) for size in sizes)
        if math.prod(filled) != self.size:
            raise ValueError(f"{self!r} cannot be reshaped to {sizes}")
        return DeviceArray(self.block, self.offset, filled, self.dtype)

    def part(self, start: int, stop: int) -> "DeviceArray":
        """View the entries from start to stop of the first axis."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"{self!r} has no part from {start} to {stop}")
        rest = self.shape[1:]
        offset = self.offset + start * math.prod(rest) * self.dtype.itemsize
        return DeviceArray(self.block, offset, (stop - start, *rest), self.dtype)

    def empty(self, shape: Shape) -> Array:
        """Make another array of this dtype, of whatever is in memory."""
        return empty(shape, self.dtype)

    def to_host(self) -> np.ndarray:
        """Copy to an array of NumPy; this waits until all kernels have ended."""
        array = np.empty(self.shape, self.dtype)
        if array.size:
            self.block.pool.download(self.block, self.offset, array)
        return array

    def overwrite(self, array: np.ndarray) -> None:
        """Copy an array of NumPy of this shape to the device."""
        if array.shape != self.shape:
            raise ValueError(f"array has shape {array.shape}, expected {self.shape}")
        if array.size:
            self.block.pool.upload(array.astype(self.dtype, copy=False), self.block, self.offset)

    def __float__(self) -> float:
        """Bring a single number to the host."""
        if self.shape != ():
            self._refuse()
        return float(self.to_host())

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    __hash__ = object.__hash__

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} was used outside of a kernel of the cuda backend; select the backend with "
            'set_backend("cuda"), or bring the model back with model.to("cpu")'
        )

    # Python and NumPy would otherwise answer these for any object, without looking into it
    __eq__ = __ne__ = __bool__ = __array__ = _refuse


def empty(shape: Shape, dtype: Any = FLOAT) -> Array:
    """Make an array of whatever is in memory; a kernel must write every element."""
    dtype = np.dtype(dtype)
    return DeviceArray(pool().block(math.prod(shape) * dtype.itemsize), 0, tuple(shape), dtype)


def to_device(array: Any) -> Array:
    """Copy to the device, unless it is there already.

    Integers become int64. What is not an array is made one first.

    Raises
    ------
    TypeError
        If the array is float64 or of another type that kernels do not know.
    """
    if isinstance(array, DeviceArray):
        return array
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        array = array.astype(np.int64, copy=False)
    require_known(array.dtype)
    result = empty(array.shape, array.dtype)
    result.overwrite(array)
    return result


def require_known(dtype: np.dtype[Any]) -> None:
    """Arrays on the device are float32, int64 or bool."""
    if dtype == np.float64:
        raise TypeError(
            "array is float64, but the device computes in float32; make the model in float32, or "
            "cast the array"
        )
    if dtype not in DTYPES:
        raise TypeError(f"array is {dtype}, expected float32, integers or bool")


def on_device(op: str, name: str, array: Any) -> None:
    """Refuse to overwrite an array of the host: the copy on the device would change, not it."""
    if not isinstance(array, DeviceArray):
        raise TypeError(
            f"{op}: {name} is in the memory of the host, expected an array of the device; "
            'move the model there with model.to("cuda")'
        )
