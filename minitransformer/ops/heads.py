"""Between features side by side, (B, T, H D), and one axis per head, (B, H, T, D)."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_floats, require_gradient


class SplitHeadsCache(NamedTuple):
    """What split_heads' backward needs."""

    shape: tuple[int, ...]  # (B, T, sum(heads) D)
    heads: tuple[int, ...]
    dtype: Any


class MergeHeadsCache(NamedTuple):
    """What merge_heads' backward needs."""

    shape: tuple[int, ...]  # (B, H, T, D)
    dtype: Any


def _check_split(x: Any, heads: Any) -> None:
    require_floats("split_heads", x=x)
    if len(x.shape) != 3 or not heads or min(heads) < 1 or x.shape[-1] % sum(heads):
        raise ValueError(
            f"split_heads: x has shape {x.shape}, expected (B, T, F) with F divisible by the "
            f"number of heads, {' + '.join(map(str, heads))}"
        )


def _check_split_backward(dy: Any, cache: Any) -> None:
    B, T, F = cache.shape
    if len(dy) != len(cache.heads):
        raise ValueError(
            f"split_heads backward: dy has {len(dy)} parts, expected {len(cache.heads)}"
        )
    for part, h in zip(dy, cache.heads, strict=True):
        shape = (B, h, T, F // sum(cache.heads))
        require_gradient("split_heads", part, shape, cache.dtype)


def _check_merge(x: Any) -> None:
    require_floats("merge_heads", x=x)
    if len(x.shape) != 4:
        raise ValueError(f"merge_heads: x has shape {x.shape}, expected (B, H, T, D)")


def _like_merged(cache: Any) -> tuple[tuple[int, ...], Any]:
    B, H, T, D = cache.shape
    return (B, T, H * D), cache.dtype


@op(_check_split)
def split_heads_forward(
    x: Float[np.ndarray, "B T F"], heads: tuple[int, ...]
) -> tuple[tuple[Float[np.ndarray, "B _ T D"], ...], SplitHeadsCache]:
    """Give every head its own slice of the features; several groups of heads at once.

    ``heads=(8, 2, 2)`` splits the output of a fused projection into queries of 8 heads, and keys
    and values of 2 heads each.

    Parameters
    ----------
    x : (B, T, F), F = sum(heads) D
    heads
        Number of heads in each part.

    Returns
    -------
    y : tuple of (B, heads[i], T, D)
    cache : SplitHeadsCache

    Raises
    ------
    ValueError
        If F is not divisible by the number of heads.

    Notes
    -----
    Forward: element ``[b, t, h D + d]`` moves to ``[b, h, t, d]``.

    Backward: each element moves back.
    """
    B, T = x.shape[:2]
    split = x.reshape(B, T, sum(heads), x.shape[-1] // sum(heads)).transpose(0, 2, 1, 3)
    bounds = itertools.pairwise(itertools.accumulate(heads, initial=0))
    return tuple(split[:, a:b].copy() for a, b in bounds), SplitHeadsCache(x.shape, heads, x.dtype)


@op(_check_split_backward)
def split_heads_backward(
    dy: tuple[Float[np.ndarray, "B _ T D"], ...], cache: SplitHeadsCache
) -> tuple[Float[np.ndarray, "B T F"]]:
    """Gradient ``(dx,)`` of :func:`split_heads_forward`; dy is one array per part."""
    # split = x.reshape(B, T, heads, D).transpose(0, 2, 1, 3)
    dsplit = np.concatenate(dy, axis=1)
    return (dsplit.transpose(0, 2, 1, 3).reshape(cache.shape),)


@op(_check_merge)
def merge_heads_forward(
    x: Float[np.ndarray, "B H T D"],
) -> tuple[Float[np.ndarray, "B T F"], MergeHeadsCache]:
    """Lay the heads' features side by side again.

    Parameters
    ----------
    x : (B, H, T, D)

    Returns
    -------
    y : (B, T, H D)
    cache : MergeHeadsCache

    Raises
    ------
    ValueError
        If x does not have four axes.

    Notes
    -----
    Forward: element ``[b, h, t, d]`` moves to ``[b, t, h D + d]``.

    Backward: each element moves back.
    """
    B, H, T, D = x.shape
    y = np.empty((B, T, H * D), dtype=x.dtype)
    y.reshape(B, T, H, D)[...] = x.transpose(0, 2, 1, 3)
    return y, MergeHeadsCache(x.shape, x.dtype)


@op(check_gradient("merge_heads", _like_merged))
def merge_heads_backward(
    dy: Float[np.ndarray, "B T F"], cache: MergeHeadsCache
) -> tuple[Float[np.ndarray, "B H T D"]]:
    """Gradient ``(dx,)`` of :func:`merge_heads_forward`."""
    B, H, T, D = cache.shape
    # y = x.transpose(0, 2, 1, 3) laid side by side
    return (np.array(dy.reshape(B, T, H, D).transpose(0, 2, 1, 3), order="C"),)
