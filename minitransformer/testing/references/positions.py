# ruff: noqa: D103 (the library documents them under the same names)
"""Positions and masks once more, entry by entry.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from typing import Any

import numpy as np

from minitransformer.testing.references.state import Array


def sinusoidal_positions(length: int, width: int, dtype: Any = np.float64) -> Array:
    table = np.zeros((length, width))
    for t, feature in np.ndindex(length, width):
        wavelength = 2 * math.pi * 10_000.0 ** ((feature - feature % 2) / width)
        angle = 2 * math.pi * t / wavelength
        table[t, feature] = math.cos(angle) if feature % 2 else math.sin(angle)
    return table.astype(dtype)


def rotary_tables(
    length: int, head_width: int, base: float = 10_000.0, dtype: Any = np.float32
) -> tuple[Array, Array]:
    cos, sin = (np.zeros((length, head_width // 2)) for _ in range(2))
    for t, i in np.ndindex(cos.shape):
        angle = t / math.pow(base, 2 * i / head_width)
        cos[t, i], sin[t, i] = math.cos(angle), math.sin(angle)
    return cos.astype(dtype), sin.astype(dtype)


def causal_mask(T: int, S: int) -> Array:
    return np.array([[S - 1 - s >= T - 1 - t for s in range(S)] for t in range(T)], np.bool_)


def padding_mask(lengths: Array, S: int) -> Array:
    return np.array([[[[s < length for s in range(S)]]] for length in lengths.tolist()], np.bool_)
