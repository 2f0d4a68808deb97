# ruff: noqa: D103 (the library documents them under the same names)
"""What the first kernels compute, once more.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math

import numpy as np

from minitransformer.testing.references.state import Array


def softmax(x: Array) -> Array:
    y = np.zeros(x.shape)
    for t, row in enumerate(x.tolist()):
        if max(row) > -math.inf:
            weights = [math.exp(score - max(row)) for score in row]
            y[t] = [weight / math.fsum(weights) for weight in weights]
    return y


def matmul(a: Array, b: Array, tile: int = 1) -> Array:
    y = np.zeros((a.shape[0], b.shape[1]))
    for i, j in np.ndindex(y.shape):
        y[i, j] = math.fsum(a[i] * b[:, j])
    return y


def vector_add(a: Array, b: Array) -> Array:
    return np.array([x + y for x, y in zip(a.tolist(), b.tolist(), strict=True)])
