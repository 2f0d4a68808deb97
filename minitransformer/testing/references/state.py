# ruff: noqa: D103 (the library documents them under the same names)
"""Verbs on state once more, number by number.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def accumulate(total: Array, part: Array) -> None:
    for i in np.ndindex(total.shape):
        total[i] = total[i] + part[i]


def scale_(x: Array, factor: float) -> None:
    for i in np.ndindex(x.shape):
        x[i] = x[i] * factor


def zero_(x: Array) -> None:
    for i in np.ndindex(x.shape):
        x[i] = 0.0


def sum_of_squares(x: Array) -> float:
    return math.fsum(float(value) ** 2 for value in x.flat)


def kv_append(keys: Array, values: Array, length: int, k: Array, v: Array) -> tuple[Array, Array]:
    for buffer, new in ((keys, k), (values, v)):
        for batch, head, t, feature in np.ndindex(new.shape):
            buffer[batch, head, length + t, feature] = new[batch, head, t, feature]
    end = length + k.shape[2]
    return keys[:, :, :end], values[:, :, :end]
