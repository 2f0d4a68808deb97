"""The memory of generation: keys and values of the tokens read so far."""

import numpy as np
from numpy.typing import ArrayLike

from minitransformer import ops, placement


class LayerKeyValues:
    """Keys and values of one attention layer, in buffers allocated once.

    Parameters
    ----------
    batch, heads, capacity, head_width
        The buffers are (batch, heads, capacity, head_width); heads counts key heads.
    like
        An array in whose place, dtype and storage they are: a weight of the model.
    padding : (batch,) integers, optional
        How many of the first tokens of each row stand for nothing, so that shorter rows end where
        the longest one ends.
    """

    def __init__(
        self,
        batch: int,
        heads: int,
        capacity: int,
        head_width: int,
        like: np.ndarray,
        padding: np.ndarray | None = None,
    ) -> None:
        shape = (batch, heads, capacity, head_width)
        self.keys, self.values = (placement.empty_like(like, shape) for _ in range(2))
        self.padding = padding
        self.length = 0
        self._filled: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def start(self) -> int | np.ndarray:
        """Position of the next token; of each row (batch,), below 0 in padding, if rows differ."""
        return self.length if self.padding is None else self.length - self.padding

    def append(self, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add new positions; returns all keys and values held, as views."""
        return self.extend(*ops.kv_append(self.keys, self.values, self.length, k, v))

    def extend(self, keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Note that the buffers are filled as far as these views of them go; returns both."""
        self._filled = keys, values
        self.length = keys.shape[2]
        return self._filled

    def cut(self, length: int) -> None:
        """Forget all positions but the first ``length``."""
        batch, heads, _, head_width = self.keys.shape
        nothing = placement.empty_like(self.keys, (batch, heads, 0, head_width))
        self._filled = ops.kv_append(self.keys, self.values, length, nothing, nothing)
        self.length = length

    def select(self, rows: ArrayLike) -> "LayerKeyValues":
        """Copy with these rows, each as often as it is named."""
        rows = np.asarray(rows)
        _, heads, capacity, head_width = self.keys.shape
        padding = None if self.padding is None else self.padding[rows]
        copy = LayerKeyValues(rows.size, heads, capacity, head_width, self.keys, padding)
        if self._filled is not None:
            copy.append(*(_select(held, rows) for held in self._filled))
        return copy


def _select(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of x (B, ...), each looked up as an embedding is."""
    selected, _ = ops.embedding_forward(rows, x.reshape(x.shape[0], -1))
    return selected.reshape(rows.size, *x.shape[1:])


class KeyValues:
    """The :class:`LayerKeyValues` of a whole model."""

    def __init__(self, layers: list[LayerKeyValues]) -> None:
        self.layers = layers

    @property
    def length(self) -> int:
        """Number of tokens held, padding included."""
        return self.layers[0].length

    @property
    def padding(self) -> np.ndarray | None:
        """How many of the first tokens of each row (batch,) are padding; None: there is none."""
        return self.layers[0].padding

    @property
    def start(self) -> int | np.ndarray:
        """Position of the next token; of each row (batch,), below 0 in padding, if rows differ."""
        return self.layers[0].start

    def mask(self, new_tokens: int) -> np.ndarray | None:
        """Hide padding from the next tokens, whatever hides the future.

        Parameters
        ----------
        new_tokens
            How many tokens T will be read next.

        Returns
        -------
        (batch, 1, 1, length + T) bool, or None if there is no padding
            True = may attend. A token that is padding itself may be left with nothing to attend to.
        """
        if self.padding is None:
            return None
        return np.arange(self.length + new_tokens) >= self.padding[:, None, None, None]

    def cut(self, length: int) -> None:
        """Forget all tokens but the first ``length``, padding included."""
        for layer in self.layers:
            layer.cut(length)

    def select(self, rows: ArrayLike) -> "KeyValues":
        """Copy with these rows, each as often as it is named: how beams fork, and texts end.

        Parameters
        ----------
        rows : (R,) integers
            Rows of the batch; the copy's batch is R.
        """
        return KeyValues([layer.select(rows) for layer in self.layers])
