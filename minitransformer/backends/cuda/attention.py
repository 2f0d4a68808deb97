"""Scaled dot-product attention, in memory proportional to the length of the sequence."""

import math
from typing import Any, NamedTuple

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import attention_composed, flash_backward, flash_forward
from minitransformer.backends.cuda.arrays import Array, empty, require_unrounded, to_device
from minitransformer.backends.cuda.flash_forward import TILES
from minitransformer.backends.cuda.flash_tiles import THREADS, fitting, grid_of
from minitransformer.backends.cuda.kernel import SIMULATED
from minitransformer.backends.cuda.kernel import THREADS as ROW_THREADS
from minitransformer.backends.cuda.key_values import buffer_of, placed, side_by_side
from minitransformer.backends.cuda.reductions import WARP
from minitransformer.backends.cuda.storage import FLOAT


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
            self.q, side_by_side(self.k), mask, has_mask, self.causal, self.scale
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
    q, k, v = to_device(q), placed(k), placed(v)
    mask, keep = (None if each is None else to_device(each) for each in (mask, keep))
    if q.shape[2] == 1 < q.shape[1] // max(k.shape[1], 1):
        return _attend_in_groups(q, k, v, mask, causal, scale, keep, p)
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else float(scale)
    y, logsumexp = empty((*q.shape[:3], v.shape[3])), None
    cache = FlashAttentionCache(q, k, v, y, logsumexp, mask, bool(causal), scale, keep, float(p))
    width = _tile_width(q, v)
    if not width:
        y = attention_composed.forward(cache.probs, side_by_side(v), keep, p)
        return y, cache._replace(y=y)
    logsumexp = empty(q.shape[:3])
    keys, values = buffer_of(k), buffer_of(v)
    if keys.storage != FLOAT:
        width = max(width, flash_forward.LEAST_OF_16_BITS)
    attend, grid = flash_forward.KERNELS[width, keys.storage], grid_of(q, TILES[width].queries)
    given = (q, keys, values, k.shape[2], *_options(cache))
    attend.launch(grid, THREADS, *given, y, logsumexp)
    return y, cache._replace(logsumexp=logsumexp)


def _attend_in_groups(
    q: Array, k: Any, v: Any, mask: Any, causal: bool, scale: float | None, keep: Any, p: float
) -> tuple[Array, FlashAttentionCache]:
    """Let heads of one query each that share keys be the queries of one head.

    So the keys and values are fetched once for all of them. A last query sees all keys.
    """
    groups = (*k.shape[:2], q.shape[1] // k.shape[1])
    y, cache = attention_forward(
        q.reshape(*groups, q.shape[3]),
        k,
        v,
        _grouped(mask, groups),
        False,
        scale,
        _grouped(keep, groups),
        p,
    )
    y, of_query = y.reshape(*q.shape[:3], v.shape[3]), cache.logsumexp
    logsumexp = None if of_query is None else of_query.reshape(q.shape[:3])
    return y, cache._replace(
        q=q, y=y, logsumexp=logsumexp, mask=mask, causal=bool(causal), keep=keep
    )


def _grouped(mask: Any, groups: tuple[int, ...]) -> Any:
    """A mask (B, H, 1, S) by groups of heads, if it is not the same for all."""
    if mask is None or len(mask.shape) < 3 or mask.shape[-3] == 1:
        return mask
    return mask.reshape(*mask.shape[:-3], *groups[1:], mask.shape[-1])


@kernel("cuda", ops.attention_backward, cache=FlashAttentionCache)
def attention_backward(dy: Any, cache: FlashAttentionCache) -> tuple[Array, Array, Array]:
    """Gradients; see :mod:`.flash_backward`."""
    q, _, _, y, logsumexp = cache[:5]
    dy, k, v = to_device(dy), side_by_side(cache.k), side_by_side(cache.v)
    require_unrounded("attention_backward", k=k, v=v)
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
    of_queries[width].launch(grid_of(q, tile.queries), THREADS, *given, dq)
    of_keys[width].launch(grid_of(k, tile.keys), THREADS, *given, dk, dv)
    return dq, dk, dv


def _tile_width(q: Array, v: Array) -> int:
    """Say which kernel serves these heads; 0 if none does, or the simulator would have to."""
    return 0 if SIMULATED else fitting(max(q.shape[3], v.shape[3]))


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
