"""Arrays that nothing but an op can look into, as if they lived on a device.

Model code that does arithmetic on arrays of its own works in NumPy and fails on every device.
Here it fails at once, with an error that says where.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from minitransformer.backend import OPS, kernel, use_backend
from minitransformer.nn import Module


class OpaqueArray:
    """An array with a shape, a dtype, a size and ``reshape``, and nothing else.

    Parameters
    ----------
    array
        What ops work on; no one else may.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def size(self) -> int:
        return self._array.size

    def reshape(self, *shape: Any) -> "OpaqueArray":
        return OpaqueArray(self._array.reshape(*shape))

    def __repr__(self) -> str:
        return f"OpaqueArray(shape={self.shape}, dtype={self.dtype})"

    __hash__ = object.__hash__

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} was used outside of an op: an array may live on a device and has no "
            "operators there; call an op, or write one"
        )

    # Python and NumPy would otherwise answer these for any object, without looking into it
    __eq__ = __ne__ = __bool__ = __array__ = _refuse


def to_opaque(tree: Any) -> Any:
    """Make every array in a result, a cache or a nest of them opaque; memory stays the same."""
    return _map(tree, np.ndarray, OpaqueArray)


def to_numpy(tree: Any) -> Any:
    """Look into opaque arrays."""
    return _map(tree, OpaqueArray, lambda opaque: opaque._array)


def _map(tree: Any, leaf: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(tree, leaf):
        return change(tree)
    if isinstance(tree, tuple | list):
        items = [_map(item, leaf, change) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree


@contextmanager
def opaque_backend() -> Iterator[None]:
    """Run all ops in a backend ``opaque``: the textbook, behind a door that only ops can open.

    Arguments may be opaque or, like ids and dropout masks, in host memory; all arrays that come
    out are opaque, those in caches too.
    """
    for op in OPS.values():
        kernel("opaque", op)(_behind_the_door(op.impls["numpy"]))
    try:
        with use_backend("opaque"):
            yield
    finally:
        for op in OPS.values():
            del op.impls["opaque"]


def _behind_the_door(textbook: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(textbook)
    def inside(*args: Any, **kwargs: Any) -> Any:
        named = {name: to_numpy(value) for name, value in kwargs.items()}
        return to_opaque(textbook(*to_numpy(args), **named))

    return inside


def hide_parameters(model: Module) -> None:
    """Make a model's parameters and their gradients opaque, for good."""
    for parameter in model.parameters():
        parameter.grad = to_opaque(parameter.grad)
        parameter.data = to_opaque(parameter.data)
        parameter.flat = None
