"""The memory of generation: keys and values are written behind those that a buffer holds.

What a buffer holds is a part of it: the first positions of every head. It is not copied out. The
kernels of attention take the whole buffer and the number of positions; every other kernel refuses
a :class:`Filled`, whose numbers do not lie as its shape says.
"""

from typing import Any, NoReturn

import numpy as np
from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, DeviceArray, Shape, on_device, to_device
from minitransformer.backends.cuda.kernel import kernel_of_each_storage
from minitransformer.backends.cuda.widening import narrow


class Filled:
    """The first positions of a buffer, as an array (B, H, positions, D).

    Parameters
    ----------
    buffer : (B, H, S, D)
    positions
        How many of the S are filled.
    """

    __slots__ = ("buffer", "positions")

    def __init__(self, buffer: DeviceArray, positions: int) -> None:
        self.buffer = buffer
        self.positions = positions

    @property
    def shape(self) -> Shape:
        """(B, H, positions, D)."""
        B, H, _, D = self.buffer.shape
        return B, H, self.positions, D

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the buffer."""
        return self.buffer.dtype

    def copied(self) -> Array:
        """Return the same numbers, side by side."""
        if self.positions == self.buffer.shape[2]:
            return self.buffer
        filled = self.buffer.empty(self.shape)
        B, H, T, D = self.shape
        given = _heads(self.buffer), filled.reshape(B * H, T, D)
        read_positions[filled.storage].stride(filled.size, *given)
        return filled

    def reshape(self, *shape: Any) -> Array:
        """Return the same numbers, side by side, in another shape."""
        return self.copied().reshape(*shape)

    def to_host(self) -> np.ndarray:
        """Copy to an array of NumPy."""
        return np.asarray(self.copied().to_host())

    def __array__(self, *args: Any) -> NoReturn:
        raise TypeError(f"{self!r} was used outside of attention; its method copied is the way out")

    def __repr__(self) -> str:
        return f"Filled(shape={self.shape}, of {self.buffer!r})"


def placed(x: Any) -> Any:
    """Return what a buffer holds as it is, and any other array on the device."""
    return x if isinstance(x, Filled) else to_device(x)


def side_by_side(x: Any) -> Array:
    """Return the numbers of what was placed as its shape says."""
    return x.copied() if isinstance(x, Filled) else x


def buffer_of(x: Any) -> Array:
    """Return the array (B, H, S, D) in which what was placed is, with perhaps fewer positions."""
    return x.buffer if isinstance(x, Filled) else x


@kernel_of_each_storage("stored[:, :, ::1], int64, float32[:, :, ::1]")
def write_positions(buffer: Any, start: int, new: Any) -> None:
    """``buffer[n, start + t] = new[n, t]`` for the rows n = (batch, head)."""
    _, T, D = new.shape
    for i in range(cuda.grid(1), new.size, cuda.gridsize(1)):
        d, t, n = i % D, i // D % T, i // (D * T)
        buffer[n, start + t, d] = narrow(new[n, t, d], buffer)


@kernel_of_each_storage("stored[:, :, ::1], stored[:, :, ::1]")
def read_positions(buffer: Any, filled: Any) -> None:
    """``filled[n, t] = buffer[n, t]``."""
    _, T, D = filled.shape
    for i in range(cuda.grid(1), filled.size, cuda.gridsize(1)):
        d, t, n = i % D, i // D % T, i // (D * T)
        filled[n, t, d] = buffer[n, t, d]


@kernel("cuda", ops.kv_append)
def kv_append(keys: Any, values: Any, length: int, k: Any, v: Any) -> tuple[Filled, Filled]:
    """Write what is new, and nothing else."""
    on_device("kv_append", "keys", keys)
    on_device("kv_append", "values", values)
    return _append(keys, length, to_device(k)), _append(values, length, to_device(v))


def _append(buffer: Array, length: int, new: Array) -> Filled:
    B, H, T, D = new.shape
    given = _heads(buffer), length, new.reshape(B * H, T, D)
    write_positions[buffer.storage].stride(new.size, *given)
    return Filled(buffer, length + T)


def _heads(x: Array) -> Array:
    B, H, S, D = x.shape
    return x.reshape(B * H, S, D)
