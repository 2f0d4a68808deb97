"""Scaled dot-product attention, in memory proportional to the length of the sequence."""

import math
from typing import Any, NamedTuple

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import attention_composed, flash_backward, flash_forward
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.flash_tiles import THREADS, fitting
from minitransformer.backends.cuda.kernel import SIMULATED
from minitransformer.backends.cuda.kernel import THREADS as ROW_THREADS
from minitransformer.backends.cuda.reductions import WARP


class FlashAttentionCache(NamedTuple):
    """What backward needs: of the probabilities, only how to find them again."""

    q: Array  # (B, H, T, D)
    k: Array  # (B, Hk, S, D)
    v: Array  # (B, Hk, S, Dv)
    y: Array  # (B, H, T, Dv)
    logsumexp: Array | None  # (B, H, T), of the scores that count; None if y was composed
    mask: Array | None  # broadcasts to (B, H, T, S)
    causal: bool
    scale: float
    keep: Array | None  # (B, H, T, S)
    p: float

    @property
    def probs(self) -> Array:
        """(B, H, T, S), before dropout: what the textbook would have remembered."""
        mask, has_mask = _mask_of_four_axes(self.mask)
        return attention_composed.probabilities(
            self.q, self.k, mask, has_mask, self.causal, self.scale
        )


@kernel("cuda", ops.attention_forward, cache=FlashAttentionCache)
def attention_forward(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Any = None,
    p: float = 0.0,
) -> tuple[Array, FlashAttentionCache]:
    """Fuse all of it, see :mod:`.flash_forward`; or compose it, for very wide heads."""
    q, k, v = to_device(q), to_device(k), to_device(v)
    mask, keep = (None if each is None else to_device(each) for each in (mask, keep))
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else float(scale)
    y, logsumexp = empty((*q.shape[:3], v.shape[3])), None
    cache = FlashAttentionCache(q, k, v, y, logsumexp, mask, bool(causal), scale, keep, float(p))
    width = _tile_width(q, v)
    if not width:
        y = attention_composed.forward(cache.probs, v, keep, p)
        return y, cache._replace(y=y)
    logsumexp = empty(q.shape[:3])
    grid = _grid(q, q.shape[1], flash_forward.TILES[width].queries)
    attend = flash_forward.KERNELS[width]
    attend.launch(grid, THREADS, q, k, v, *_options(cache), y, logsumexp)
    return y, cache._replace(logsumexp=logsumexp)


@kernel("cuda", ops.attention_backward, cache=FlashAttentionCache)
def attention_backward(dy: Any, cache: FlashAttentionCache) -> tuple[Array, Array, Array]:
    """Gradients; see :mod:`.flash_backward`."""
    q, k, v, y, logsumexp = cache[:5]
    dy = to_device(dy)
    if logsumexp is None:
        return attention_composed.backward(
            dy, q, k, v, cache.probs, cache.scale, cache.keep, cache.p
        )
    rows, expected = math.prod(q.shape[:3]), empty(q.shape[:3])
    flash_backward.flash_expected.launch(
        math.ceil(rows * WARP / ROW_THREADS),
        ROW_THREADS,
        *(each.reshape(rows, v.shape[3]) for each in (dy, y)),
        expected.reshape(rows),
    )
    dq, dk, dv = empty(q.shape), empty(k.shape), empty(v.shape)
    given = (dy, q, k, v, logsumexp, expected, *_options(cache))
    width = _tile_width(q, v)
    tile = flash_backward.TILES[width]
    of_queries, of_keys = flash_backward.QUERY_KERNELS, flash_backward.KEY_VALUE_KERNELS
    of_queries[width].launch(_grid(q, q.shape[1], tile.queries), THREADS, *given, dq)
    of_keys[width].launch(_grid(k, k.shape[1], tile.keys), THREADS, *given, dk, dv)
    return dq, dk, dv


def _tile_width(q: Array, v: Array) -> int:
    """Say which kernel serves these heads; 0 if none does, or the simulator would have to."""
    return 0 if SIMULATED else fitting(max(q.shape[3], v.shape[3]))


def _grid(x: Array, heads: int, rows: int) -> tuple[int, int, int]:
    """Blocks for tiles of so many rows, for every head, for every entry of the batch."""
    return math.ceil(x.shape[2] / rows), heads, x.shape[0]


def _mask_of_four_axes(mask: Array | None) -> tuple[Array, bool]:
    """Return a mask with four axes, of full length or 1, and whether there is one."""
    if mask is None:
        return empty((1, 1, 1, 1), bool), False
    return mask.reshape(*(1,) * (4 - len(mask.shape)), *mask.shape), True


def _options(cache: FlashAttentionCache) -> tuple[Any, ...]:
    """Arguments that all kernels share."""
    mask, has_mask = _mask_of_four_axes(cache.mask)
    keep, has_keep = _mask_of_four_axes(cache.keep)
    kept = 1.0 / (1.0 - cache.p)
    return mask, keep, has_mask, has_keep, cache.causal, cache.scale, kept
