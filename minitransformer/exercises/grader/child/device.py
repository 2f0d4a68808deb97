"""Memory of a simulated GPU: what nobody has written is not a number, and so is never right."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

_ALLOCATORS = ("device_array", "device_array_like")


def marking_allocators(cuda: Any) -> dict[str, Callable[..., Any]]:
    """The functions of ``numba.cuda`` that allocate, by name, made to fill what they give."""
    return {name: _marking(getattr(cuda, name)) for name in _ALLOCATORS}


def _marking(allocate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(allocate)
    def marked(*args: Any, **kwargs: Any) -> Any:
        array = allocate(*args, **kwargs)
        dtype = np.dtype(array.dtype)
        ones = np.frombuffer(b"\xff" * (array.size * dtype.itemsize), dtype)  # NaN, True, -1
        array.copy_to_device(ones.reshape(array.shape))
        return array

    return marked
