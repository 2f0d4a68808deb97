"""SwiGLU: three arrays are read and one is written, or two in backward.

Backward computes the sigmoid again: an exp in vector lanes costs less than to write it to memory
and to read it.
"""

from typing import NamedTuple

import numpy as np

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.numba.arrays import flat
from minitransformer.backends.numba.math import exp
from minitransformer.backends.numba.threads import Array, compiled, part_of, sharded
from minitransformer.ops.checks import require_gradient


class GatedCache(NamedTuple):
    """What the backward of SwiGLU needs: what forward was given."""

    gate: Array
    up: Array  # the shape of gate


@sharded()
@compiled
def _swiglu(gate: Array, up: Array, y: Array, shard: int, shards: int) -> None:
    part = part_of(gate.size, shard, shards)
    gate, up, y = gate[part], up[part], y[part]
    one = gate.dtype.type(1)
    for i in range(gate.size):
        y[i] = gate[i] / (one + exp(-gate[i])) * up[i]


@kernel("numba", ops.swiglu_forward, cache=GatedCache)
def swiglu_forward(gate: Array, up: Array) -> tuple[Array, GatedCache]:
    """``gate / (1 + exp(-gate))`` is right even where exp overflows: it is 0 there."""
    y = np.empty(gate.shape, gate.dtype)
    _swiglu(flat(gate), flat(up), flat(y))
    return y, GatedCache(gate, up)


@sharded()
@compiled
def _swiglu_gradients(
    dy: Array, gate: Array, up: Array, dgate: Array, dup: Array, shard: int, shards: int
) -> None:
    part = part_of(gate.size, shard, shards)
    dy, gate, up, dgate, dup = dy[part], gate[part], up[part], dgate[part], dup[part]
    one = gate.dtype.type(1)
    for i in range(gate.size):
        sigmoid = one / (one + exp(-gate[i]))
        dup[i] = dy[i] * gate[i] * sigmoid
        dgate[i] = dy[i] * up[i] * (sigmoid + gate[i] * sigmoid * (one - sigmoid))


@kernel("numba", ops.swiglu_backward, cache=GatedCache)
def swiglu_backward(dy: Array, cache: GatedCache) -> tuple[Array, Array]:
    """Both gradients in one pass."""
    gate, up = cache
    require_gradient("swiglu", dy, gate.shape, gate.dtype)
    dgate, dup = np.empty(gate.shape, gate.dtype), np.empty(gate.shape, gate.dtype)
    _swiglu_gradients(flat(dy), flat(gate), flat(up), flat(dgate), flat(dup))
    return dgate, dup
