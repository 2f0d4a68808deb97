"""The memory of generation: keys and values of the tokens read so far."""

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops


class LayerKeyValues:
    """Keys and values of one attention layer, in buffers allocated once.

    Parameters
    ----------
    batch, heads, capacity, head_width
        The buffers are (batch, heads, capacity, head_width); heads counts key heads.
    """

    def __init__(
        self, batch: int, heads: int, capacity: int, head_width: int, dtype: DTypeLike = np.float32
    ) -> None:
        self.keys = np.zeros((batch, heads, capacity, head_width), dtype)
        self.values = np.zeros_like(self.keys)
        self.length = 0

    def append(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add new positions; returns all keys and values held, as views."""
        filled = ops.kv_append(self.keys, self.values, self.length, k, v)
        self.length += k.shape[2]
        return filled


class KeyValues:
    """The :class:`LayerKeyValues` of a whole model; ``length`` tokens are held."""

    def __init__(self, layers: list[LayerKeyValues]) -> None:
        self.layers = layers

    @property
    def length(self) -> int:
        return self.layers[0].length
