"""Rotary position embedding."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_broadcast, require_floats


class RotaryCache(NamedTuple):
    """What rotary's backward needs."""

    cos: np.ndarray  # broadcasts to (B, H, T, D/2)
    sin: np.ndarray
    interleaved: bool
    shape: tuple[int, ...]  # (B, H, T, D)


def _check(x: Any, cos: Any, sin: Any, interleaved: bool = False) -> None:
    require_floats("rotary", x=x, cos=cos, sin=sin)
    if len(x.shape) != 4 or x.shape[-1] % 2:
        raise ValueError(f"rotary: x has shape {x.shape}, expected (B, H, T, D) with D even")
    angles = (*x.shape[:-1], x.shape[-1] // 2)
    require_broadcast("rotary", "cos", cos, angles, "one angle per pair of x")
    require_broadcast("rotary", "sin", sin, angles, "one angle per pair of x")


def rotate(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool) -> np.ndarray:
    """Turn each pair (x1, x2) of the last axis by its angle."""
    half = x.shape[-1] // 2
    first, second = (
        (slice(0, None, 2), slice(1, None, 2))
        if interleaved
        else (slice(None, half), slice(half, None))
    )
    x1, x2 = x[..., first], x[..., second]
    y = np.empty(x.shape, x.dtype)
    y[..., first] = x1 * cos - x2 * sin
    y[..., second] = x2 * cos + x1 * sin
    return y


@op(_check)
def rotary_forward(
    x: Float[np.ndarray, "B H T D"],
    cos: Float[np.ndarray, "..."],
    sin: Float[np.ndarray, "..."],
    interleaved: bool = False,
) -> tuple[Float[np.ndarray, "B H T D"], RotaryCache]:
    """Turn pairs of features by an angle that grows with the position.

    The score of a rotated query and a rotated key then depends on their distance only.

    Parameters
    ----------
    x : (B, H, T, D), D even
    cos, sin : (T, D/2), or anything that broadcasts to (B, H, T, D/2)
    interleaved
        Pairs are (2i, 2i+1); otherwise (i, i + D/2).

    Returns
    -------
    y : (B, H, T, D)
    cache : RotaryCache

    Raises
    ------
    ValueError
        If D is odd or the angles do not fit x.

    Notes
    -----
    Forward: ``y1 = x1 cos - x2 sin``, ``y2 = x2 cos + x1 sin``, a rotation of each pair.

    Backward: the transpose of a rotation is the rotation back, so ``dx`` is ``dy`` turned by the
    negative angle: ``dx1 = dy1 cos + dy2 sin``, ``dx2 = dy2 cos - dy1 sin``. Angles get no
    gradient.

    References
    ----------
    Su et al. (2021), RoFormer, arXiv:2104.09864.
    """
    return rotate(x, cos, sin, interleaved), RotaryCache(cos, sin, interleaved, x.shape)


@op(check_gradient("rotary", lambda cache: (cache.shape, cache.cos.dtype)))
def rotary_backward(
    dy: Float[np.ndarray, "B H T D"], cache: RotaryCache
) -> tuple[Float[np.ndarray, "B H T D"]]:
    """Gradient ``(dx,)`` of :func:`rotary_forward`."""
    # y = rotate(x, cos, sin)
    return (rotate(dy, cache.cos, -cache.sin, cache.interleaved),)
