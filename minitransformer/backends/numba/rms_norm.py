"""RMS norm: as layer norm, but there is no mean to subtract."""

from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import own, rows
from minitransformer.backends.numba.threads import SHARDS, Array, part_of, reassociated, sharded
from minitransformer.ops.checks import require_gradient


class RMSNormCache(NamedTuple):
    """What this backward needs; ``xhat = x rrms`` is cheaper to compute than to load."""

    x: Array  # (..., C)
    rrms: Array  # (N,), 1 / sqrt(mean(x^2) + eps)
    gamma: Array  # (C,)


@reassociated
def rrms_of(x: Array, eps: float) -> Any:
    """1 / sqrt(mean of the squares of a row + eps)."""
    squares = x.dtype.type(0)
    for c in range(x.size):
        squares += x[c] * x[c]
    return x.dtype.type(1) / np.sqrt(squares / x.dtype.type(x.size) + x.dtype.type(eps))


@sharded()
@reassociated
def _rms_norm(
    x: Array, gamma: Array, eps: float, y: Array, rrms: Array, shard: int, shards: int
) -> None:
    part = part_of(x.shape[0], shard, shards)
    x, y, rrms = x[part], y[part], rrms[part]
    for n in range(x.shape[0]):
        scale = rrms_of(x[n], eps)
        for c in range(x.shape[1]):
            y[n, c] = x[n, c] * scale * gamma[c]
        rrms[n] = scale


@kernel("numba", ops.rms_norm_forward, cache=RMSNormCache)
def rms_norm_forward(x: Array, gamma: Array, eps: float = 1e-6) -> tuple[Array, RMSNormCache]:
    """One pass over memory."""
    x2, gamma = rows(x), own(gamma)
    y, rrms = np.empty(x.shape, x.dtype), np.empty(len(x2), x.dtype)
    _rms_norm(x2, gamma, float(eps), rows(y), rrms)
    return y, RMSNormCache(x, rrms, gamma)


@sharded()
@reassociated
def _rms_norm_gradient(
    dy: Array,
    x: Array,
    rrms: Array,
    gamma: Array,
    dx: Array,
    dgammas: Array,
    shard: int,
    shards: int,
) -> None:
    part = part_of(x.shape[0], shard, shards)
    dy, x, rrms, dx, dgamma = dy[part], x[part], rrms[part], dx[part], dgammas[shard]
    count = x.dtype.type(x.shape[1])
    for n in range(x.shape[0]):
        scale, along_xhat = rrms[n], x.dtype.type(0)
        for c in range(x.shape[1]):
            xhat = x[n, c] * scale
            dgamma[c] += dy[n, c] * xhat
            dxhat = dy[n, c] * gamma[c]
            along_xhat += dxhat * xhat
            dx[n, c] = dxhat
        along_xhat /= count
        for c in range(x.shape[1]):
            dx[n, c] = scale * (dx[n, c] - x[n, c] * scale * along_xhat)


@kernel("numba", ops.rms_norm_backward, cache=RMSNormCache)
def rms_norm_backward(dy: Array, cache: RMSNormCache) -> tuple[Array, Array]:
    """Each shard sums its own rows; the shards' sums are added in their order."""
    x, rrms, gamma = cache
    require_gradient("rms_norm", dy, x.shape, x.dtype)
    dx = np.empty(x.shape, x.dtype)
    dgammas = np.zeros((SHARDS, x.shape[-1]), x.dtype)
    _rms_norm_gradient(rows(dy), rows(x), rrms, gamma, rows(dx), dgammas)
    return dx, dgammas.sum(axis=0)
