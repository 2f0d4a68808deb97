"""The steps of a model's blocks for one token, on all cores.

The cores share out the rows of a matrix, which lie one behind the other in memory. Their products
are partial sums of all the results, and the step that follows begins with adding them up: each
shard adds what it goes on with, even if another one adds the same. That costs less than one more
step, as cores wait for one another between two of them.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from minitransformer.backends.numba.activations import gelu_share
from minitransformer.backends.numba.decode_attention import softmax
from minitransformer.backends.numba.hints import never_inline
from minitransformer.backends.numba.launching import pointer
from minitransformer.backends.numba.layer_norm import mean_and_rstd
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.matvec import add_dots, add_rows
from minitransformer.backends.numba.rms_norm import rrms_of
from minitransformer.backends.numba.threads import Array, compiled, inlined, part_of, sharded

STEPS = 6
"""Of a block."""
SHARDS = 8
"""Parts into which the rows of a matrix are cut: few, as each leaves a sum of its own."""

PAIRS = {
    **dict.fromkeys(("attention_norm", "feed_forward_norm"), ("gamma", "beta")),
    **dict.fromkeys(
        ("query_key_value", "projection", "expand", "gate", "contract"), ("weight", "bias")
    ),
}
BLOCK = np.dtype(
    [(f"{part}_{array}", np.int64) for part, pair in PAIRS.items() for array in pair]
    + [(array, np.int64) for array in ("cos", "sin", "keys", "values")]
)
"""Addresses of a block's arrays and of its memory; 0 for one that it does not have."""


class Shape(NamedTuple):
    """What all blocks have in common."""

    width: int  # C
    heads: int  # H
    key_heads: int  # Hk
    head_width: int  # D
    hidden: int  # F
    capacity: int  # S, positions that the memory has room for
    attention_eps: float
    feed_forward_eps: float
    is_gated: bool
    is_interleaved: bool

    def arrays(self) -> list[tuple[int, ...]]:
        """Shapes of a block's arrays, in the order of :data:`BLOCK`."""
        C, A, F, fused = self.width, self.heads * self.head_width, self.hidden, self.fused()
        norms = [(C,)] * 4
        attention = [(C, fused), (fused,), (A, C), (C,)]
        feed_forward = [(C, F), (F,), (C, F), (F,), (F, C), (C,)]
        angles = [(self.capacity, self.head_width // 2)] * 2
        memory = [(1, self.key_heads, self.capacity, self.head_width)] * 2
        return [*norms, *attention, *feed_forward, *angles, *memory]

    def record(self) -> Array:
        """What a kernel can read: one element of :data:`SHAPE`."""
        return np.array([self], SHAPE)

    def fused(self) -> int:
        """Width of queries, keys and values side by side."""
        return (self.heads + 2 * self.key_heads) * self.head_width

    def room(self) -> int:
        """How many numbers the steps leave to one another."""
        largest = max(self.fused(), self.hidden, self.width)
        return self.heads * self.head_width + self.width + 3 * SHARDS * largest


SHAPE = np.dtype(list(Shape.__annotations__.items()))
"""A shape in memory."""


@sharded(steps=lambda scratch, blocks, *_: STEPS * len(blocks), shards=SHARDS)
@compiled
def run_steps(
    scratch: Array,
    blocks: Array,
    shapes: Array,
    length: int,
    x: Array,
    y: Array,
    shard: int,
    shards: int,
) -> None:
    """Do one of the steps of one of the blocks for one shard.

    Parameters
    ----------
    scratch
        For what one step leaves to the next.
    blocks
        Where their arrays are, a :data:`BLOCK` for each.
    shapes
        A :data:`SHAPE` for all of them.
    length
        Number of positions that the memory holds; the token's is added.
    x, y : (C,)
    """
    step, shard = divmod(shard, shards)
    n, step = divmod(step, STEPS)
    at, shape, x = blocks[n], shapes[0], x if n == 0 else y
    C, F, A = shape.width, shape.hidden, shape.heads * shape.head_width
    fused = A + 2 * shape.key_heads * shape.head_width
    merged, middle, partial = scratch[:A], scratch[A : A + C], scratch[A + C :]
    sums = partial.reshape(3, shards, partial.size // (3 * shards))
    wide, deep = part_of(C, shard, shards), part_of(F, shard, shards)
    if step == 1:
        bias = _vector(at.query_key_value_bias, fused, x)
        heads = part_of(shape.key_heads, shard, shards)
        for g in range(heads.start, heads.stop):
            _attend(sums[0], bias, at, shape, length, g, merged)
        return
    if step == 5:
        update = _total(sums[1], _vector(at.contract_bias, C, x), wide)
        for c in range(update.size):
            y[wide.start + c] = middle[wide.start + c] + update[c]
        return
    rows, product = wide, sums[0, shard]
    if step == 0:
        gamma, beta = _vector(at.attention_norm_gamma, C, x), _vector(at.attention_norm_beta, C, x)
        vector = _normed(x, gamma, beta, shape.attention_eps, wide)
        weight = _matrix(at.query_key_value_weight, C, fused, x)
    elif step == 2:
        rows, product = part_of(A, shard, shards), sums[1, shard]
        vector, weight = merged[rows], _matrix(at.projection_weight, A, C, x)
    elif step == 3:
        residual = _total(sums[1], _vector(at.projection_bias, C, x), slice(0, C))
        for c in range(C):
            residual[c] += x[c]
        for c in range(wide.start, wide.stop):
            middle[c] = residual[c]
        gamma, beta = (
            _vector(at.feed_forward_norm_gamma, C, x),
            _vector(at.feed_forward_norm_beta, C, x),
        )
        vector = _normed(residual, gamma, beta, shape.feed_forward_eps, wide)
        weight = _matrix(at.expand_weight, C, F, x)
        if shape.is_gated:
            _multiply(vector, _matrix(at.gate_weight, C, F, x), wide, sums[2, shard])
    else:
        rows, product = deep, sums[1, shard]
        vector = _total(sums[0], _vector(at.expand_bias, F, x), deep)
        weight = _matrix(at.contract_weight, F, C, x)
        if shape.is_gated:
            _swiglu(vector, _total(sums[2], _vector(at.gate_bias, F, x), deep))
        else:
            _gelu(vector)
    _multiply(vector, weight, rows, product)


@compiled
def _matrix(address: int, rows: int, columns: int, like: Array) -> Any:
    return numba.carray(pointer(address), (rows, columns), like.dtype)


@compiled
def _vector(address: int, size: int, like: Array) -> Any:
    """Nothing, where there is none."""
    return numba.carray(pointer(address), (size if address else 0,), like.dtype)


@compiled
def _normed(x: Array, gamma: Array, beta: Array, eps: float, part: slice) -> Array:
    """Part of the normalised x, by layer norm if there is a beta, else by RMS norm."""
    never_inline()
    mean, scale = mean_and_rstd(x, eps) if beta.size else (x.dtype.type(0), rrms_of(x, eps))
    y = np.empty(part.stop - part.start, x.dtype)
    for i in range(y.size):
        c = part.start + i
        y[i] = (x[c] - mean) * scale * gamma[c]
        if beta.size:
            y[i] += beta[c]
    return y


@inlined
def _multiply(x: Array, w: Array, rows: slice, y: Array) -> None:
    """``y = x w[rows]``."""
    total = y[: w.shape[1]].reshape(1, w.shape[1])
    for n in range(total.size):
        total[0, n] = 0
    add_rows(x.reshape(1, x.size), w[rows], slice(0, x.size), total)


@compiled
def _total(sums: Array, bias: Array, part: slice) -> Array:
    """Sum over the shards in their order, and the bias if there is one."""
    never_inline()
    first, last = part.start, part.stop
    y = np.empty(last - first, sums.dtype)
    for n in range(y.size):
        y[n] = bias[first + n] if bias.size else sums.dtype.type(0)
    for s in range(0, len(sums), 4):
        for n in range(first, last):
            y[n - first] += (sums[s, n] + sums[s + 1, n]) + (sums[s + 2, n] + sums[s + 3, n])
    return y


@inlined
def _attend(
    sums: Array,
    bias: Array,
    at: Any,
    shape: Shape,
    length: int,
    g: int,
    merged: Array,
) -> None:
    """Add the token to the memory of a key head, and let the head's queries look at it.

    As in :mod:`.decode_attention`, the queries are the rows of two products.
    """
    H, Hk, S, D = shape.heads, shape.key_heads, shape.capacity, shape.head_width
    G, half = H // Hk, D // 2 if at.cos else 0
    cos, sin = _matrix(at.cos, S, half, sums), _matrix(at.sin, S, half, sums)
    keys, values = _matrix(at.keys, Hk * S, D, sums), _matrix(at.values, Hk * S, D, sums)
    keys, values = keys[g * S : (g + 1) * S], values[g * S : (g + 1) * S]
    heads = merged[g * G * D : (g + 1) * G * D].reshape(G, D)
    queries, probs = np.empty((G, D), sums.dtype), np.empty((G, length + 1), sums.dtype)
    for i in range(G):
        _head(sums, bias, g * G + i, queries[i])
        _turn(queries[i], cos, sin, length, shape.is_interleaved)
        for d in range(D):
            queries[i, d] *= sums.dtype.type(1 / math.sqrt(D))
            heads[i, d] = 0
        for s in range(length + 1):
            probs[i, s] = 0
    _head(sums, bias, H + g, keys[length])
    _turn(keys[length], cos, sin, length, shape.is_interleaved)
    _head(sums, bias, H + Hk + g, values[length])
    add_dots(queries, keys, slice(0, length + 1), probs)
    for i in range(G):
        softmax(probs[i])
    add_rows(probs, values, slice(0, length + 1), heads)


@inlined
def _head(sums: Array, bias: Array, h: int, y: Array) -> None:
    """One of the heads of queries, keys and values."""
    x = _total(sums, bias, slice(h * y.size, (h + 1) * y.size))
    for d in range(y.size):
        y[d] = x[d]


@inlined
def _turn(x: Array, cos: Array, sin: Array, position: int, is_interleaved: bool) -> None:
    """Turn the pairs of a head, if there are angles."""
    half = cos.shape[1]
    for i in range(half):
        a, b = (2 * i, 2 * i + 1) if is_interleaved else (i, half + i)
        first, second = x[a], x[b]
        x[a] = first * cos[position, i] - second * sin[position, i]
        x[b] = second * cos[position, i] + first * sin[position, i]


@inlined
def _swiglu(x: Array, gate: Array) -> None:
    one = x.dtype.type(1)
    for i in range(x.size):
        x[i] *= gate[i] / (one + exp(-gate[i]))


@inlined
def _gelu(x: Array) -> None:
    for i in range(x.size):
        x[i] *= gelu_share(x[i])
