# ruff: noqa: D103 (the library documents them under the same names)
"""Every op's forward once more, number by number, as its definition says it.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def _elementwise(function: Callable[[float], float], x: Array) -> Array:
    return np.array([function(float(value)) for value in x.flat]).reshape(x.shape)


def _by_rows(function: Callable[[tuple[int, ...]], Any], x: Array) -> Array:
    """Apply a function to the index of every row."""
    return np.array([function(row) for row in np.ndindex(x.shape[:-1])]).reshape(x.shape)


def add(a: Array, b: Array) -> Array:
    return np.array([float(x) + float(y) for x, y in np.broadcast(a, b)]).reshape(
        np.broadcast_shapes(a.shape, b.shape)
    )


def matmul(a: Array, b: Array) -> Array:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, (*batch, *a.shape[-2:]))
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    y = np.empty((*batch, a.shape[-2], b.shape[-1]))
    for *n, row, column in np.ndindex(y.shape):
        y[*n, row, column] = _dot(a[*n, row, :], b[*n, :, column])
    return y


def linear(x: Array, w: Array, b: Array | None = None, transposed: bool = False) -> Array:
    columns = w if transposed else w.T
    y = np.empty((*x.shape[:-1], len(columns)))
    for *n, o in np.ndindex(y.shape):
        y[*n, o] = _dot(x[*n, :], columns[o]) + (0.0 if b is None else b[o])
    return y


def lora(x: Array, w: Array, a: Array, b: Array, scale: float) -> Array:
    changed = np.empty(w.shape)
    for i, o in np.ndindex(w.shape):
        changed[i, o] = w[i, o] + scale * _dot(a[i], b[:, o])
    return linear(x, changed)


def embedding(ids: Array, w: Array) -> Array:
    return np.array([w[int(i)] for i in ids.flat]).reshape(*ids.shape, -1)


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> Array:
    def row(n: tuple[int, ...]) -> list[float]:
        values = x[n].tolist()
        mean = math.fsum(values) / len(values)
        variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
        xhat = [(value - mean) / math.sqrt(variance + eps) for value in values]
        return [g * value + b for g, value, b in zip(gamma, xhat, beta, strict=True)]

    return _by_rows(row, x)


def rms_norm(x: Array, gamma: Array, eps: float = 1e-6) -> Array:
    def row(n: tuple[int, ...]) -> list[float]:
        values = x[n].tolist()
        rms = math.sqrt(_dot(values, values) / len(values) + eps)
        return [g * value / rms for g, value in zip(gamma, values, strict=True)]

    return _by_rows(row, x)


def _probabilities(scores: list[float], is_open: list[bool]) -> list[float]:
    scores = [s if may else -math.inf for s, may in zip(scores, is_open, strict=True)]
    top = max(scores)
    if top == -math.inf:
        return [0.0] * len(scores)
    weights = [math.exp(s - top) for s in scores]
    return [weight / math.fsum(weights) for weight in weights]


def softmax(x: Array, mask: Array | None = None) -> Array:
    is_open = np.broadcast_to(True if mask is None else mask, x.shape)
    return _by_rows(lambda n: _probabilities(x[n].tolist(), is_open[n].tolist()), x)


def relu(x: Array) -> Array:
    return _elementwise(lambda value: value if value > 0 else 0.0, x)


def tanh(x: Array) -> Array:
    return _elementwise(math.tanh, x)


def silu(x: Array) -> Array:
    return _elementwise(lambda value: value * 0.5 * (1.0 + math.tanh(value / 2)), x)


def gelu(x: Array, approximate: str = "tanh") -> Array:
    def exact(value: float) -> float:
        return value * 0.5 * math.erfc(-value / math.sqrt(2))

    def by_tanh(value: float) -> float:
        inner = math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)
        return value * 0.5 * (1.0 + math.tanh(inner))

    return _elementwise(by_tanh if approximate == "tanh" else exact, x)


def swiglu(gate: Array, up: Array) -> Array:
    return np.array([g * u for g, u in zip(silu(gate).flat, up.flat, strict=True)]).reshape(
        gate.shape
    )


def dropout(x: Array, keep: Array | None, p: float) -> Array:
    if keep is None:
        return x
    kept = [value / (1.0 - p) if k else 0.0 for value, k in zip(x.flat, keep.flat, strict=True)]
    return np.array(kept).reshape(x.shape)


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    keep: Array | None = None,
    p: float = 0.0,
) -> Array:
    (B, H, T, D), (_, Hk, S, Dv) = q.shape, v.shape
    is_open = np.broadcast_to(True if mask is None else mask, (B, H, T, S))
    y = np.zeros((B, H, T, Dv))
    for b, h, t in np.ndindex(B, H, T):
        shared = h // (H // Hk)
        factor = 1.0 / math.sqrt(D) if scale is None else scale
        scores = [factor * _dot(q[b, h, t], k[b, shared, s]) for s in range(S)]
        seen = [bool(is_open[b, h, t, s]) and (not causal or s - t <= S - T) for s in range(S)]
        probs = _probabilities(scores, seen)
        if keep is not None:
            probs = [w * bool(keep[b, h, t, s]) / (1.0 - p) for s, w in enumerate(probs)]
        y[b, h, t] = [_dot(probs, v[b, shared, :, e]) for e in range(Dv)]
    return y


def rotary(x: Array, cos: Array, sin: Array, interleaved: bool = False) -> Array:
    """Multiply complex numbers of modulus 1."""
    half = x.shape[-1] // 2
    turn = np.broadcast_to(cos + 1j * sin, (*x.shape[:-1], half))
    y = np.empty(x.shape)
    for *n, i in np.ndindex(turn.shape):
        first, second = (2 * i, 2 * i + 1) if interleaved else (i, i + half)
        z = complex(x[*n, first], x[*n, second]) * turn[*n, i]
        y[*n, first], y[*n, second] = z.real, z.imag
    return y


def split_heads(x: Array, heads: tuple[int, ...]) -> tuple[Array, ...]:
    B, T, F = x.shape
    D = F // sum(heads)
    everything = np.empty((B, sum(heads), T, D))
    for b, h, t, d in np.ndindex(everything.shape):
        everything[b, h, t, d] = x[b, t, h * D + d]
    starts = [sum(heads[:i]) for i in range(len(heads))]
    return tuple(everything[:, start : start + h] for start, h in zip(starts, heads, strict=True))


def merge_heads(x: Array) -> Array:
    B, H, T, D = x.shape
    y = np.empty((B, T, H * D))
    for b, h, t, d in np.ndindex(x.shape):
        y[b, t, h * D + d] = x[b, h, t, d]
    return y


def cross_entropy(
    logits: Array, targets: Array, ignore_index: int = -100, label_smoothing: float = 0.0
) -> Any:
    V = logits.shape[-1]
    losses = []
    for n in np.ndindex(targets.shape):
        if int(targets[n]) != ignore_index:
            row = logits[n].tolist()
            log_total = max(row) + math.log(math.fsum(math.exp(z - max(row)) for z in row))
            wanted = [label_smoothing / V] * V
            wanted[int(targets[n])] += 1.0 - label_smoothing
            losses.append(_dot(wanted, [log_total - z for z in row]))
    return np.float64(math.fsum(losses) / len(losses) if losses else 0.0)


def mse(prediction: Array, target: Array) -> Any:
    difference = (prediction - target).ravel()
    return np.float64(_dot(difference, difference) / len(difference))


DEFINITIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(add, matmul, linear, lora, embedding, layer_norm, rms_norm, softmax, relu, tanh),
        *(silu, gelu, swiglu, dropout, attention, rotary, split_heads, merge_heads),
        *(cross_entropy, mse),
    )
}
"""The forward of every op, by the op's name."""
