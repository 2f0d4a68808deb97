"""A wrong result beside the right one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pair:
    """A wrong result beside the right one.

    Attributes
    ----------
    name : str
        Of the result.
    got, expected : ndarray
        In float64.
    inputs : mapping of str to ndarray
        The arrays and numbers that were given.
    """

    name: str
    got: Array
    expected: Array
    inputs: Mapping[str, Any]

    @property
    def fits(self) -> bool:
        """Whether both have one shape."""
        return bool(self.got.shape == self.expected.shape)


def broadcast(array: Any, shape: tuple[int, ...]) -> Array | None:
    """Stretch a number or an array to a shape; None where that is impossible."""
    if not isinstance(array, np.ndarray | float | int) or isinstance(array, bool):
        return None
    try:
        return np.broadcast_to(np.asarray(array), shape)
    except ValueError:
        return None
