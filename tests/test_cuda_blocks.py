"""Blocks on the device: fewer bytes than the textbook's steps, and the same numbers."""

import functools

import numpy as np
import pytest

from minitransformer import placement
from minitransformer.backend import use_backend
from minitransformer.nn.attention import MultiHeadAttention
from minitransformer.nn.blocks import (
    PostNormBlock,
    PreNormBlock,
    post_norm_block,
    post_norm_block_backward,
    pre_norm_block,
    pre_norm_block_backward,
)
from minitransformer.nn.feed_forward import FeedForward, SwigluFeedForward
from minitransformer.nn.layers import Dropout, Gelu, LayerNorm, Relu, RMSNorm
from tests.cuda_lane import DEVICE, SIMULATED, cuda, on_device, to_host

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]

B, T, C, F = (1, 2, 4, 3) if SIMULATED else (2, 5, 32, 48)
WAYS = {
    PreNormBlock: (pre_norm_block, pre_norm_block_backward),
    PostNormBlock: (post_norm_block, post_norm_block_backward),
}
KINDS = {
    "gelu by tanh": (LayerNorm, functools.partial(FeedForward, activation=Gelu())),
    "gelu by erf": (LayerNorm, functools.partial(FeedForward, activation=Gelu("none"))),
    "without bias": (LayerNorm, functools.partial(FeedForward, activation=Gelu(), bias=False)),
    "relu": (LayerNorm, functools.partial(FeedForward, activation=Relu())),
    "rms": (RMSNorm, SwigluFeedForward),
}


def make(block, kind, dropout, dtype=np.float32, width=C):
    norm, feed_forward = KINDS[kind]
    rng = np.random.default_rng(0)
    made = block(
        norm(width, dtype=dtype),
        MultiHeadAttention(width, 2, rng, dtype=dtype, std=0.4),
        norm(width, dtype=dtype),
        feed_forward(width, F, rng, dtype=dtype, std=0.4),
        dropout,
    )
    for parameter in made.parameters():
        parameter.data[...] += 0.1 * np.random.default_rng(1).standard_normal(parameter.data.shape)
    return made


def inputs(width=C):
    return np.random.default_rng(2).standard_normal((2, B, T, width))


def run(block, way, x, dy, rng):
    """All that forward and backward return or add up, on the host."""
    forward, backward = way
    y, cache = forward(block, x, None, True, rng)
    dx = backward(block, dy, cache)
    gradients = [placement.host_copy(parameter.grad) for parameter in block.parameters()]
    return [*map(placement.to_host, (y, dx)), *gradients]


def on_trial(block, implementation, x, dy, seed=3):
    x, dy = on_device((x.astype(np.float32), dy.astype(np.float32)))
    way = [op.impls[implementation] for op in WAYS[type(block)]]
    return run(block.to("cuda"), way, x, dy, np.random.default_rng(seed))


@pytest.mark.parametrize("dropout", [0.4] if SIMULATED else [0.0, 0.4])
@pytest.mark.parametrize("kind", list(KINDS)[::4] if SIMULATED else KINDS)
@pytest.mark.parametrize("block", WAYS)
def test_a_block_is_the_textbooks(block, kind, dropout):
    x, dy = inputs()
    got = on_trial(make(block, kind, dropout), "cuda", x, dy)
    with use_backend("numpy"):
        exact = make(block, kind, dropout, np.float64)
        want = run(exact, WAYS[block], x, dy, np.random.default_rng(3))
    for one, other in zip(got, want, strict=True):
        assert np.abs(one - other).max() <= 2e-5 * max(np.abs(other).max(), 1)


@pytest.mark.skipif(SIMULATED, reason="takes the simulator seconds")
def test_other_random_numbers_would_be_noticed():
    x, dy = inputs()
    one, other = (
        on_trial(make(PreNormBlock, "rms", 0.4), "cuda", x, dy, seed)[0] for seed in (3, 4)
    )
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("before", [False, True])
def test_rows_longer_than_a_blocks_registers_are_done_one_by_one(before):
    from minitransformer.backends.cuda import norms, residual_norm

    results = []
    for dtype in (np.float32, np.float64):
        norm, x, dy = LayerNorm(norms.LONGEST + 2, dtype=dtype), *inputs(norms.LONGEST + 2)
        x, dy = x.astype(dtype), dy.astype(dtype)
        with use_backend("cuda" if dtype == np.float32 else "numpy"):
            if dtype == np.float32:
                norm.to("cuda")
                x, dy = on_device((x, dy))
            total, y, cache, _ = residual_norm.forward(norm, x, dy, Dropout(0.0), None)
            dx = residual_norm.backward(norm, y, cache, dy, before)
            results.append([placement.to_host(each) for each in (total, dx, norm.gamma.grad)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")
@pytest.mark.parametrize("block", WAYS)
def test_parameters_may_be_frozen(block):
    x, dy = inputs()
    results = []
    for implementation in ("cuda", "numpy"):
        made = make(block, "gelu by tanh", 0.0)
        for part in (made.feed_forward.expand.weight, made.attention_norm.gamma):
            part.freeze()
        made.to("cuda")
        way = [op.impls[implementation] for op in WAYS[block]]
        y, cache = way[0](made, *on_device((x.astype(np.float32),)))
        dx = way[1](made, *on_device((dy.astype(np.float32),)), cache)
        assert not any(p.grad is not None and p.frozen for p in made.parameters() if not p.frozen)
        results.append([to_host(y), to_host(dx), to_host(made.feed_forward.expand.bias.grad)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


SAVED = {PreNormBlock: 1 + 2 + 2, PostNormBlock: 2 + 2 + 2}
"""Numbers for each feature of a token: forward, and backward, at every norm that is fused."""


@pytest.mark.skipif(DEVICE != "emulated", reason="needs the emulator's counters")
@pytest.mark.parametrize("block", WAYS)
def test_a_block_moves_fewer_bytes(block):
    from minitransformer.backends.cuda.device import current_device
    from minitransformer.emulator.measuring import Measurement

    moved, width, tokens = {}, 64, 64
    x, dy = np.random.default_rng(0).standard_normal((2, 2, tokens // 2, width))
    for implementation in ("cuda", "numpy"):
        seen = Measurement()
        made = make(block, "gelu by tanh", 0.0, width=width)
        current_device().watch = lambda kernel, grid, threads, seen=seen: seen.observers
        try:
            on_trial(made, implementation, x, dy)
        finally:
            current_device().watch = None
        assert seen.bugs == []
        moved[implementation] = seen.moved_bytes
    # the gradient of the bias is made while its terms are in registers: F numbers less
    expected = 4 * tokens * (SAVED[block] * width + F)
    assert moved["numpy"] - moved["cuda"] == pytest.approx(expected, rel=0.05)
