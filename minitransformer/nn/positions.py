"""How a transformer is told the order of its input: sinusoidal, learned or rotary."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.backend import op
from minitransformer.nn.layers import normal
from minitransformer.nn.module import Module


@op(composed=True)
def sinusoidal_positions(length: int, width: int, dtype: DTypeLike = np.float64) -> np.ndarray:
    """Sines and cosines of geometrically spaced wavelengths, from 2 pi to 10,000 times 2 pi.

    Parameters
    ----------
    length
        Number of positions T.
    width
        Number of features C, even.
    dtype
        Of the table.

    Returns
    -------
    (T, C) : ``[t, 2i] = sin(t / 10000^(2i/C))``, ``[t, 2i + 1] = cos(t / 10000^(2i/C))``

    Raises
    ------
    ValueError
        If width is odd or an argument is not positive.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, section 3.5, arXiv:1706.03762.
    """
    _check_table("sinusoidal_positions", length, width)
    angles = _angles(length, width, 10_000.0)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width).astype(dtype)


def rotary_tables(
    length: int, head_width: int, base: float = 10_000.0, dtype: DTypeLike = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the angles by which :func:`ops.rotary_forward` turns pairs.

    Parameters
    ----------
    length
        Number of positions T.
    head_width
        Features per head D, even.
    base
        Pair i turns by ``t / base^(2i/D)`` at position t.

    Returns
    -------
    cos, sin : (T, D/2)

    Raises
    ------
    ValueError
        If head_width is odd or an argument is not positive.

    References
    ----------
    Su et al. (2021), RoFormer, arXiv:2104.09864.
    """
    _check_table("rotary_tables", length, head_width)
    angles = _angles(length, head_width, base)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def _angles(length: int, width: int, base: float) -> np.ndarray:
    frequencies = base ** (-np.arange(0, width, 2) / width)
    return np.arange(length)[:, None] * frequencies


def _check_table(name: str, length: int, width: int) -> None:
    if length < 1 or width < 2 or width % 2:
        raise ValueError(
            f"{name}: length is {length} and width {width}, expected length >= 1 and an even "
            "width >= 2, as features come in pairs"
        )


def positions_from(start: int | np.ndarray, length: int) -> np.ndarray:
    """Positions of ``length`` tokens that follow one another.

    Parameters
    ----------
    start : int or (B,)
        Position of the first one, common to all rows or row by row. Positions below 0 are those of
        padding, on the left of a shorter row; whatever stands there, 0 is as good as any.
    length
        Number of tokens T.

    Returns
    -------
    (T,) or (B, T)
    """
    return np.maximum(0, np.asarray(start)[..., None] + np.arange(length))


class LearnedPositions(Module):
    """Adds a trained vector for each position."""

    def __init__(
        self,
        length: int,
        width: int,
        rng: np.random.Generator,
        std: float = 0.02,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.weight = normal(rng, (length, width), std, dtype)

    def __call__(self, x: np.ndarray, start: int | np.ndarray = 0) -> tuple[np.ndarray, Any]:
        """Add positions ``start, start + 1, ...`` to x (B, T, C); start may be (B,)."""
        here = positions_from(start, x.shape[1])
        rows, look_up = ops.embedding_forward(here, self.weight.data)
        y, add = ops.add_forward(x, rows)
        return y, LearnedPositionsCache(look_up, add)

    def backward(self, dy: np.ndarray, cache: "LearnedPositionsCache") -> np.ndarray:
        dx, drows = ops.add_backward(dy, cache.add)
        if not self.weight.frozen:
            (dw,) = ops.embedding_backward(drows, cache.look_up)
            self.weight.add_gradient(dw)
        return dx


class LearnedPositionsCache(NamedTuple):
    """What the learned positions' backward needs."""

    look_up: Any
    add: Any


class SinusoidalPositions(Module):
    """Adds the fixed vectors of :func:`sinusoidal_positions`."""

    def __init__(self, length: int, width: int, dtype: DTypeLike = np.float32) -> None:
        self.table = sinusoidal_positions(length, width, dtype)

    def __call__(self, x: np.ndarray, start: int | np.ndarray = 0) -> tuple[np.ndarray, Any]:
        """Add positions ``start, start + 1, ...`` to x (B, T, C); start may be (B,)."""
        return ops.add_forward(x, self.table[positions_from(start, x.shape[1])])

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return ops.add_backward(dy, cache)[0]


class RotaryPositions(Module):
    """Turns queries and keys (B, H, T, D) by angles that grow with the position."""

    def __init__(
        self,
        length: int,
        head_width: int,
        base: float = 10_000.0,
        interleaved: bool = False,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.cos, self.sin = rotary_tables(length, head_width, base, dtype)
        self.interleaved = interleaved

    def __call__(self, x: np.ndarray, start: int | np.ndarray = 0) -> tuple[np.ndarray, Any]:
        """Turn x by the angles of positions ``start, start + 1, ...``; start may be (B,)."""
        here = positions_from(start, x.shape[2])
        here = here if here.ndim == 1 else here[:, None]  # (B, 1, T): the same for all heads
        return ops.rotary_forward(x, self.cos[here], self.sin[here], self.interleaved)

    def backward(self, dy: np.ndarray, cache: Any) -> np.ndarray:
        return ops.rotary_backward(dy, cache)[0]
