"""A block for many tokens in few kernels is the block op by op, forward and backward."""

import numba
import numpy as np
import pytest

from minitransformer.backend import use_backend
from minitransformer.backends.numba import train_block
from minitransformer.models import GPT, GPTConfig
from minitransformer.nn import FeedForward, Gelu, LayerNorm, MultiHeadAttention, PreNormBlock
from minitransformer.nn.blocks import pre_norm_block, pre_norm_block_backward

pytestmark = pytest.mark.kernels

TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


def block_of(dtype, bias=True, width=24, heads=3, hidden=40):
    rng = np.random.default_rng(0)
    options = {"bias": bias, "dtype": dtype}
    block = PreNormBlock(
        LayerNorm(width, dtype=dtype),
        MultiHeadAttention(width, heads, rng, **options),
        LayerNorm(width, dtype=dtype),
        FeedForward(width, hidden, rng, activation=Gelu(), **options),
    )
    for parameter in block.parameters():
        parameter.data[...] = 0.3 * rng.standard_normal(parameter.shape)
        parameter.grad[...] = rng.standard_normal(parameter.shape)
    return block


def backward_of(block, x, causal=True, rng=None):
    """Output, gradient of the input, and of the parameters, to which they are added."""
    y, cache = pre_norm_block(block, x, None, causal, rng)
    dx = pre_norm_block_backward(block, np.cos(y), cache)
    return y, dx, *(parameter.grad for parameter in block.parameters())


@pytest.fixture
def fused(monkeypatch):
    """Counts the blocks that are not computed op by op, in either direction."""
    calls = []
    kept = train_block._affine, train_block._affine_backward
    for function in kept:

        def counted(*args, function=function):
            calls.append(function.__name__)
            return function(*args)

        monkeypatch.setattr(train_block, function.__name__, counted)
    return calls


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(1, 9, 24), (3, 70, 24)])
def test_the_same_as_op_by_op(dtype, bias, causal, shape, fused):
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    x.setflags(write=False)
    expected = backward_of(block_of(np.float64, bias), x.astype(np.float64), causal)
    assert not fused
    with use_backend("numba"):
        found = backward_of(block_of(dtype, bias), x, causal)
    assert len(fused) == 8
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == dtype
        assert abs(got - wanted).max() <= TOLERANCE[dtype] * (1 + abs(wanted).max())


@pytest.mark.parametrize("own", [False, True])
def test_the_caches_are_those_of_the_parts(own, fused, monkeypatch):
    x = np.random.default_rng(1).standard_normal((2, 11, 24)).astype(np.float32)
    expected = backward_of(block_of(np.float32), x)
    block = block_of(np.float32)
    with use_backend("numba"), monkeypatch.context() as patched:
        way = pre_norm_block if own else pre_norm_block.impls["numpy"]
        y, cache = way(block, x, causal=True)
        assert cache.attention.probs.shape == (2, 3, 11, 11)
        if own:
            patched.setattr(train_block, "_is_known", lambda block: False)
        dx = pre_norm_block_backward(block, np.cos(y), cache)
    assert len(fused) == 4
    np.testing.assert_allclose(dx, expected[1], atol=1e-4)


def frozen(block):
    block.feed_forward.expand.weight.freeze()


def rectified(block):
    block.feed_forward.activation = Gelu("none")


def dropping(block):
    block.dropout.p = 0.5


@pytest.mark.parametrize("change", [frozen, rectified, dropping])
def test_other_blocks_go_op_by_op(change, fused):
    x = np.random.default_rng(1).standard_normal((2, 11, 24))
    found = []
    for backend in ("numpy", "numba"):
        block = block_of(np.float64)
        change(block)
        with use_backend(backend):
            found.append(backward_of(block, x, rng=np.random.default_rng(2)))
    assert not fused
    for expected, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-11)


def test_wrong_widths_and_types_are_told_as_ever():
    block = block_of(np.float32)
    with use_backend("numba"):
        with pytest.raises(ValueError, match="layer_norm"):
            block(np.ones((2, 11, 20), np.float32))
        with pytest.raises(TypeError, match="float"):
            block(np.ones((2, 11, 24)))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_the_same_bits_with_any_number_of_threads():
    x = np.random.default_rng(1).standard_normal((3, 70, 24)).astype(np.float32)
    found = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        with use_backend("numba"):
            found.append(backward_of(block_of(np.float32), x))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_gradients_add_up_over_calls():
    config = GPTConfig(vocab_size=20, context=12, layers=1, heads=2, width=16)
    ids = np.random.default_rng(0).integers(0, 20, (2, 12))
    with use_backend("numba"):
        model = GPT(config)
        logits, cache = model(ids)
        model.backward_logits(np.cos(logits), cache)
        once = [parameter.grad.copy() for parameter in model.parameters()]
        model.backward_logits(np.cos(logits), cache)
    for parameter, grad in zip(model.parameters(), once, strict=True):
        np.testing.assert_allclose(parameter.grad, 2 * grad, rtol=1e-4, atol=1e-6)
