# ruff: noqa: D103 (the library documents them under the same names)
"""What surrounds learning once more: corrupted text, averages, numerical gradients, LoRA.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from minitransformer.testing.references.state import Array


def mask_tokens(
    ids: Array, chosen: Array, action: Array, random_ids: Array, mask_id: int
) -> tuple[Array, Array]:
    inputs, targets = np.zeros(ids.shape, int), np.zeros(ids.shape, int)
    for i in np.ndindex(ids.shape):
        token = int(ids[i])
        outcomes = [mask_id] * 8 + [int(random_ids[i]), token]
        inputs[i] = outcomes[action[i]] if chosen[i] else token
        targets[i] = token if chosen[i] else -100
    return inputs, targets


def perplexity(losses: Sequence[float], counts: Sequence[int]) -> float:
    every_token = [loss for loss, count in zip(losses, counts, strict=True) for _ in range(count)]
    mean = math.fsum(every_token) / len(every_token)
    return math.exp(mean) if mean < 709 else math.inf


def average_gradients(gradients: Sequence[Array], counts: Sequence[int]) -> Array:
    average = np.zeros(gradients[0].shape)
    for i in np.ndindex(average.shape):
        weighed = [g[i] * count for g, count in zip(gradients, counts, strict=True)]
        average[i] = math.fsum(weighed) / sum(counts) if any(counts) else 0.0
    return average


def central_difference(function: Callable[[Array], float], x: Array, h: float = 1e-5) -> Array:
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        right, left = x.copy(), x.copy()
        right[i], left[i] = x[i] + h, x[i] - h
        gradient[i] = (function(right) - function(left)) / (2 * h)
    return gradient


def lora_merge(w: Array, a: Array, b: Array, scale: float) -> Array:
    merged = np.zeros(w.shape)
    for i, o in np.ndindex(w.shape):
        merged[i, o] = w[i, o] + scale * math.fsum(a[i] * b[:, o])
    return merged
