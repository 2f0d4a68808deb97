# ruff: noqa: D103 (the library documents them under the same names)
"""Updates, clipping and schedules once more, number by number, as their papers write them.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from collections.abc import Sequence

import numpy as np

from minitransformer.testing.references.state import Array, scale_, sum_of_squares


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
    for i in np.ndindex(parameter.shape):
        m[i] = beta1 * m[i] + (1 - beta1) * grad[i]
        v[i] = beta2 * v[i] + (1 - beta2) * grad[i] ** 2
        m_hat, v_hat = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
        decay = lr * weight_decay * parameter[i]
        parameter[i] = parameter[i] - decay - lr * m_hat / (math.sqrt(v_hat) + eps)


def sgd_step(
    parameter: Array,
    grad: Array,
    velocity: Array,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    for i in np.ndindex(parameter.shape):
        g = grad[i] + weight_decay * parameter[i]
        velocity[i] = momentum * velocity[i] + g
        move = g + momentum * velocity[i] if nesterov else velocity[i]
        parameter[i] = parameter[i] - lr * move


def adamw_steps(
    matrix: Array, bias: Array, gradients: Sequence[tuple[Array, Array]], lr: float
) -> tuple[Array, Array]:
    """Several steps of AdamW as a whole: matrices decay, biases do not, t counts the steps."""
    state = [(p, np.zeros(p.shape), np.zeros(p.shape)) for p in (matrix, bias)]
    for t, grads in enumerate(gradients, start=1):
        for (p, m, v), grad, decay in zip(state, grads, (0.1, 0.0), strict=True):
            adamw_step(p, grad, m, v, t, lr, weight_decay=decay)
    return matrix, bias


def clip_grad_norm(grads: Sequence[Array], max_norm: float) -> float:
    norm = math.sqrt(math.fsum(sum_of_squares(grad) for grad in grads))
    if norm > max_norm:
        for grad in grads:
            scale_(grad, max_norm / (norm + 1e-6))
    return norm


def warmup_cosine(
    step: float, peak: float, warmup: float, total: float, floor: float = 0.0
) -> float:
    if step < warmup:
        return step / warmup * peak
    done = min(1.0, (step - warmup) / (total - warmup))
    return floor + 0.5 * (peak - floor) * (1.0 + math.cos(math.pi * done))


def warmup_inverse_sqrt(step: float, width: int, warmup: float, factor: float = 1.0) -> float:
    rising = step / math.sqrt(warmup) ** 3
    falling = 1.0 / math.sqrt(step) if step else math.inf
    return factor / math.sqrt(width) * min(falling, rising)
