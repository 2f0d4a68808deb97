"""Arrays that live on the device. Only kernels look into them."""

import functools
import math
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minitransformer.backends.cuda.device import current_device
from minitransformer.backends.cuda.memory import Block, Pool
from minitransformer.backends.cuda.storage import FLOAT, NAMES, rounded, storage_of, widened

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = Any
"""A :class:`DeviceArray`, where the textbook says ndarray."""

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
        Of the array: what kernels compute with.
    storage
        What lies in memory, see :mod:`.storage`; by default the dtype itself. Half the bytes are
        for what is only read: few kernels know of it, the others refuse.
    """

    __slots__ = ("block", "dtype", "offset", "shape", "storage")

    def __init__(
        self,
        block: Block,
        offset: int,
        shape: Shape,
        dtype: np.dtype[Any],
        storage: np.dtype[Any] | None = None,
    ) -> None:
        self.block = block
        self.offset = offset
        self.shape = shape
        self.dtype = dtype
        self.storage = dtype if storage is None else storage

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
        return DeviceArray(self.block, self.offset, filled, self.dtype, self.storage)

    def part(self, start: int, stop: int) -> "DeviceArray":
        """View the entries from start to stop of the first axis."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"{self!r} has no part from {start} to {stop}")
        rest = self.shape[1:]
        offset = self.offset + start * math.prod(rest) * self.storage.itemsize
        return DeviceArray(self.block, offset, (stop - start, *rest), self.dtype, self.storage)

    def empty(self, shape: Shape) -> Array:
        """Make another array of this dtype and storage, of whatever is in memory."""
        return empty(shape, self.dtype, self.storage)

    def to_host(self) -> np.ndarray:
        """Copy to an array of NumPy of its dtype; this waits until all kernels have ended."""
        array = np.empty(self.shape, self.storage)
        if array.size:
            self.block.pool.download(self.block, self.offset, array)
        return widened(array)

    def overwrite(self, array: np.ndarray) -> None:
        """Copy an array of NumPy of this shape to the device, rounded to what is stored."""
        if array.shape != self.shape:
            raise ValueError(f"array has shape {array.shape}, expected {self.shape}")
        array = array.astype(self.dtype, copy=False)
        if self.storage != self.dtype:
            array = rounded(array, self.storage)
        if array.size:
            self.block.pool.upload(array, self.block, self.offset)

    def __float__(self) -> float:
        """Bring a single number to the host."""
        if self.shape != ():
            self._refuse()
        return float(self.to_host())

    def __repr__(self) -> str:
        stored = "" if self.storage == self.dtype else f", stored as {NAMES[self.storage]}"
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}{stored})"

    __hash__ = object.__hash__

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} was used outside of a kernel of the cuda backend; select the backend with "
            'set_backend("cuda"), or bring the model back with model.to("cpu")'
        )

    # Python and NumPy would otherwise answer these for any object, without looking into it
    __eq__ = __ne__ = __bool__ = __array__ = _refuse


def empty(shape: Shape, dtype: Any = FLOAT, storage: np.dtype[Any] | None = None) -> Array:
    """Make an array of whatever is in memory; a kernel must write every element."""
    dtype = np.dtype(dtype)
    storage = dtype if storage is None else storage
    block = pool().block(math.prod(shape) * storage.itemsize)
    return DeviceArray(block, 0, tuple(shape), dtype, storage)


def to_device(array: Any, storage: str | None = None) -> Array:
    """Copy to the device, unless it is there already.

    Integers become int64. What is not an array is made one first.

    Parameters
    ----------
    array
        Of the host, or of the device.
    storage
        In what float32 is kept there: ``"float16"`` or ``"bfloat16"``, in half the bytes.

    Raises
    ------
    TypeError
        If the array is float64 or of another type that kernels do not know.
    InputError
        If there is no such storage, or a number does not fit into it.
    """
    if isinstance(array, DeviceArray):
        return array
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        array = array.astype(np.int64, copy=False)
    require_known(array.dtype)
    result = empty(array.shape, array.dtype, None if storage is None else storage_of(storage))
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


def require_unrounded(op: str, **arrays: Any) -> None:
    """Refuse to learn from arrays that are stored in 16 bits."""
    for name, array in arrays.items():
        if array.storage != array.dtype:
            raise TypeError(
                f"{op}: {name} is stored as {NAMES[array.storage]}, which is for reading only; "
                'move the model with model.to("cuda") and no storage to train it'
            )


def on_device(op: str, name: str, array: Any) -> None:
    """Refuse to overwrite an array of the host: the copy on the device would change, not it."""
    if not isinstance(array, DeviceArray):
        raise TypeError(
            f"{op}: {name} is in the memory of the host, expected an array of the device; "
            'move the model there with model.to("cuda")'
        )
