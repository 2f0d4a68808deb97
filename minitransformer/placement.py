"""Where arrays live: in the memory of the host, as NumPy's, or on the device of a backend.

Model code calls ops and never looks into an array. These are the few things besides that have to
know: memory is reserved, cut into views and copied; nothing is computed.
"""

import importlib
import os
from typing import Any

import numpy as np

HOST = "cpu"
DEVICES = ("cuda",)
"""Backends whose arrays do not live in host memory."""
DEVICE_VARIABLE = "MINITRANSFORMER_CUDA_DEVICE"
"""Environment variable that names the device of the cuda backend."""


def place_of(backend: str) -> str:
    """Where a model must be for a backend to compute with it."""
    return backend if backend in DEVICES else HOST


def is_imitated(backend: str) -> bool:
    """Whether a backend's device is a program that imitates one, thousands of times slower."""
    return backend in DEVICES and os.environ.get(DEVICE_VARIABLE) in ("emulated", "simulated")


def is_on_host(array: Any) -> bool:
    """Whether this is an array of NumPy."""
    return isinstance(array, np.ndarray | np.generic)


def is_at(array: Any, place: str) -> bool:
    """Whether an array lives there.

    Raises
    ------
    ValueError
        If there is no such place.
    """
    if place not in (HOST, *DEVICES):
        raise ValueError(f"place is {place!r}, expected one of {', '.join((HOST, *DEVICES))}")
    return is_on_host(array) == (place == HOST)


def move(array: Any, place: str, storage: str | None = None) -> Any:
    """Copy an array to ``"cpu"`` or to the device of a backend, if it is not there.

    Parameters
    ----------
    array
        Of the host, or of a device.
    place
        Where to.
    storage
        In what a device keeps float32 that is only read: ``"float16"`` or ``"bfloat16"`` take half
        the memory, and half the time to read. Numbers are rounded, and computed with in float32;
        on the host they are float32 again.

    Raises
    ------
    ValueError
        If there is no such place, or it keeps arrays as they are.
    TypeError
        If the device does not know the array's dtype.
    InputError
        If the device cannot be started, or there is no such storage; it says why.
    """
    if storage is not None and place == HOST:
        raise ValueError(f"storage is {storage!r}, but the host keeps arrays in their own dtype")
    if is_at(array, place):
        return array
    if place == HOST:
        return array.to_host()
    arrays = importlib.import_module(f"minitransformer.backends.{place}.arrays")
    return arrays.to_device(array, storage)


def to_host(array: Any) -> Any:
    """Return an array of NumPy: this one, or a copy of what is on a device."""
    return np.asarray(array) if is_on_host(array) else array.to_host()


def host_copy(array: Any) -> Any:
    """Return an array of NumPy in memory of its own."""
    return np.array(array) if is_on_host(array) else array.to_host()


def empty_like(array: Any, shape: tuple[int, ...]) -> Any:
    """Reserve memory where an array lives, for one of its dtype."""
    return np.empty(shape, array.dtype) if is_on_host(array) else array.empty(shape)


def placed_like(array: np.ndarray, other: Any) -> Any:
    """Bring an array of NumPy to where another lives, if that is not on the host."""
    if is_on_host(other):
        return array
    copy = other.empty(array.shape)
    copy.overwrite(array)
    return copy


def zeros_like(array: Any) -> Any:
    """Make an array of zeros, in the place, shape and dtype of another."""
    return placed_like(np.zeros(array.shape, array.dtype), array)


def overwrite(array: Any, values: np.ndarray) -> None:
    """Give an array the numbers of one of NumPy."""
    if is_on_host(array):
        array[...] = values
    else:
        array.overwrite(values)


def part(array: Any, place: slice) -> Any:
    """View a part of a vector, with ``place.start`` and ``place.stop``."""
    return array[place] if is_on_host(array) else array.part(place.start, place.stop)
