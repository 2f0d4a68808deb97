"""Layer norm: backward needs two numbers for each position, not the normalised x."""

from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import own, rows
from minitransformer.backends.numba.threads import SHARDS, Array, part_of, reassociated, sharded
from minitransformer.ops.checks import require_gradient


class LayerNormCache(NamedTuple):
    """What this backward needs; ``xhat = (x - mean) rstd`` is cheaper to compute than to load."""

    x: Array  # (..., C)
    mean: Array  # (N,)
    rstd: Array  # (N,), 1 / sqrt(variance + eps)
    gamma: Array  # (C,)


@reassociated
def mean_and_rstd(x: Array, eps: float) -> Any:
    """Mean of a row, and 1 / sqrt(variance + eps)."""
    total, count = x.dtype.type(0), x.dtype.type(x.size)
    for c in range(x.size):
        total += x[c]
    mean = total / count
    squares = x.dtype.type(0)
    for c in range(x.size):
        squares += (x[c] - mean) * (x[c] - mean)
    return mean, x.dtype.type(1) / np.sqrt(squares / count + x.dtype.type(eps))


@sharded()
@reassociated
def _layer_norm(
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    y: Array,
    mean: Array,
    rstd: Array,
    shard: int,
    shards: int,
) -> None:
    """Three passes over a row that stays in the nearest cache: mean, variance, result."""
    part = part_of(x.shape[0], shard, shards)
    x, y, mean, rstd = x[part], y[part], mean[part], rstd[part]
    for n in range(x.shape[0]):
        centre, scale = mean_and_rstd(x[n], eps)
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - centre) * scale * gamma[c] + beta[c]
        mean[n] = centre
        rstd[n] = scale


@kernel("numba", ops.layer_norm_forward, cache=LayerNormCache)
def layer_norm_forward(
    x: Array, gamma: Array, beta: Array, eps: float = 1e-5
) -> tuple[Array, LayerNormCache]:
    """One pass over memory."""
    x2, gamma = rows(x), own(gamma)
    y = np.empty(x.shape, x.dtype)
    mean, rstd = np.empty(len(x2), x.dtype), np.empty(len(x2), x.dtype)
    _layer_norm(x2, gamma, own(beta), float(eps), rows(y), mean, rstd)
    return y, LayerNormCache(x, mean, rstd, gamma)


@sharded()
@reassociated
def _layer_norm_gradient(
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    gamma: Array,
    dx: Array,
    dgammas: Array,
    dbetas: Array,
    shard: int,
    shards: int,
) -> None:
    part = part_of(x.shape[0], shard, shards)
    dy, x, mean, rstd, dx = dy[part], x[part], mean[part], rstd[part], dx[part]
    dgamma, dbeta = dgammas[shard], dbetas[shard]
    zero, count = x.dtype.type(0), x.dtype.type(x.shape[1])
    for n in range(x.shape[0]):
        centre, scale = mean[n], rstd[n]
        along_one, along_xhat = zero, zero
        for c in range(x.shape[1]):
            xhat = (x[n, c] - centre) * scale
            dgamma[c] += dy[n, c] * xhat
            dbeta[c] += dy[n, c]
            dxhat = dy[n, c] * gamma[c]
            along_one += dxhat
            along_xhat += dxhat * xhat
            dx[n, c] = dxhat
        along_one /= count
        along_xhat /= count
        for c in range(x.shape[1]):
            xhat = (x[n, c] - centre) * scale
            dx[n, c] = scale * (dx[n, c] - along_one - xhat * along_xhat)


@kernel("numba", ops.layer_norm_backward, cache=LayerNormCache)
def layer_norm_backward(dy: Array, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    """Each shard sums its own rows; the shards' sums are added in their order."""
    x, mean, rstd, gamma = cache
    require_gradient("layer_norm", dy, x.shape, x.dtype)
    dx = np.empty(x.shape, x.dtype)
    dgammas, dbetas = np.zeros((2, SHARDS, x.shape[-1]), x.dtype)
    _layer_norm_gradient(rows(dy), rows(x), mean, rstd, gamma, rows(dx), dgammas, dbetas)
    return dx, dgammas.sum(axis=0), dbetas.sum(axis=0)
