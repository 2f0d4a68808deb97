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


@sharded(steps=lambda *args: 2)
@reassociated
def _layer_norm_gradient(
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    gamma: Array,
    residual: Array,
    has_residual: bool,
    dx: Array,
    sums: Array,
    dgamma: Array,
    dbeta: Array,
    shard: int,
    shards: int,
) -> None:
    """Each shard sums its own rows, and then adds up some columns of what all have summed."""
    step, shard = divmod(shard, shards)
    if step == 1:
        part = part_of(dgamma.size, shard, shards)
        for n in range(shards):
            for c in range(part.start, part.stop):
                dgamma[c] += sums[0, n, c]
                dbeta[c] += sums[1, n, c]
        return
    part = part_of(x.shape[0], shard, shards)
    dy, x, mean, rstd = dy[part], x[part], mean[part], rstd[part]
    residual, dx = residual[part], dx[part]
    dgamma, dbeta = sums[0, shard], sums[1, shard]
    dgamma[:] = dgamma.dtype.type(0)
    dbeta[:] = dgamma.dtype.type(0)
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
        if has_residual:
            for c in range(x.shape[1]):
                dx[n, c] += residual[n, c]


@kernel("numba", ops.layer_norm_backward, cache=LayerNormCache)
def layer_norm_backward(dy: Array, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    """Each shard sums its own rows; the shards' sums are added in their order."""
    x, gamma = cache.x, cache.gamma
    require_gradient("layer_norm", dy, x.shape, x.dtype)
    dgamma, dbeta = np.zeros((2, gamma.size), x.dtype)
    return input_gradient(dy, cache, dgamma, dbeta), dgamma, dbeta


def input_gradient(
    dy: Array, cache: LayerNormCache, dgamma: Array, dbeta: Array, residual: Array | None = None
) -> Array:
    """Gradient of x, plus that of a residual path; those of gamma and beta are added to arrays."""
    x, mean, rstd, gamma = cache
    x2, dy2, dx = rows(x), rows(dy), np.empty(x.shape, x.dtype)
    residual2 = dy2 if residual is None else rows(residual)
    sums = np.empty((2, SHARDS, gamma.size), x.dtype)
    given = dy2, x2, mean, rstd, gamma, residual2, residual is not None
    _layer_norm_gradient(*given, rows(dx), sums, dgamma, dbeta)
    return dx
