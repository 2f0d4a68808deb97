"""Optimizer steps: one pass over parameters, gradients and moments.

The textbook walks through the arrays once for each operation; here every number is loaded once,
updated in registers, and stored.
"""

import math

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat, is_plain
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded


@sharded()
@compiled
def _adamw(
    parameter: Array,
    grad: Array,
    m: Array,
    v: Array,
    shrink: float,
    rate: float,
    beta1: float,
    beta2: float,
    root_correction: float,
    eps: float,
    shard: int,
    shards: int,
) -> None:
    part = part_of(parameter.size, shard, shards)
    parameter, grad, m, v = parameter[part], grad[part], m[part], v[part]
    number = parameter.dtype.type
    keep1, new1, keep2, new2 = number(beta1), number(1 - beta1), number(beta2), number(1 - beta2)
    for i in range(parameter.size):
        mean = keep1 * m[i] + new1 * grad[i]
        mean_square = keep2 * v[i] + new2 * grad[i] * grad[i]
        size = np.sqrt(mean_square) / number(root_correction) + number(eps)
        parameter[i] = number(shrink) * parameter[i] - number(rate) * mean / size
        m[i] = mean
        v[i] = mean_square


@kernel("numba", ops.adamw_step)
def adamw_step(
    parameter: Array,
    grad: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Seven numbers through memory for each parameter: four in, three out."""
    if not all(map(is_plain, (parameter, m, v))):
        textbook = ops.adamw_step.impls["numpy"]
        textbook(parameter, grad, m, v, t, lr, beta1, beta2, eps, weight_decay)
        return
    correction = math.sqrt(1 - beta2**t)
    numbers = (1 - lr * weight_decay, lr / (1 - beta1**t), beta1, beta2, correction, eps)
    _adamw(flat(parameter), flat(grad), flat(m), flat(v), *map(float, numbers))


@sharded()
@compiled
def _sgd(
    parameter: Array,
    grad: Array,
    velocity: Array,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    shard: int,
    shards: int,
) -> None:
    part = part_of(parameter.size, shard, shards)
    parameter, grad, velocity = parameter[part], grad[part], velocity[part]
    number = parameter.dtype.type
    rate, keep, decay = number(lr), number(momentum), number(weight_decay)
    for i in range(parameter.size):
        push = grad[i] + decay * parameter[i]
        u = keep * velocity[i] + push
        velocity[i] = u
        parameter[i] -= rate * (push + keep * u if nesterov else u)


@kernel("numba", ops.sgd_step)
def sgd_step(
    parameter: Array,
    grad: Array,
    velocity: Array,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Five numbers through memory for each parameter."""
    if not (is_plain(parameter) and is_plain(velocity)):
        textbook = ops.sgd_step.impls["numpy"]
        textbook(parameter, grad, velocity, lr, momentum, nesterov, weight_decay)
        return
    numbers = (float(lr), float(momentum), float(weight_decay))
    _sgd(flat(parameter), flat(grad), flat(velocity), *numbers, bool(nesterov))
