"""What is true of each op by mathematics, whoever implements it."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.nn import rotary_tables
from minitransformer.testing import SPECS, LawError
from minitransformer.testing.definitions import DEFINITIONS
from minitransformer.testing.mutants import MUTANTS
from minitransformer.testing.strategies import arrays, dtypes, lengths, masks, seeds, shapes
from minitransformer.testing.subject import cast, compare
from minitransformer.testing.trees import as_parts

pytestmark = pytest.mark.usefixtures("checked_shapes")

ABSOLUTE = {"float32": 2e-5, "float64": 1e-12}


def near(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def always(*strategies):
    """Try 40 examples."""
    return lambda test: settings(max_examples=40)(given(*strategies)(test))


def obeys_definition(op, forward):
    for dtype, tolerance in (("float64", 1e-11), ("float32", 1e-4)):
        for arguments in SPECS[op].cases().values():
            inputs = cast(arguments, dtype)
            with np.errstate(all="ignore"):
                got = as_parts(forward(**inputs)[0])
            expected = as_parts(DEFINITIONS[op](**cast(inputs, "float64")))
            compare(dict(enumerate(got)), dict(enumerate(expected)), tolerance)


@pytest.mark.parametrize("op", SPECS)
def test_forward_obeys_its_definition(op):
    obeys_definition(op, SPECS[op].forward)


WRONG = ValueError, IndexError, TypeError  # of an axis, an index or a shape that does not fit
FORWARD = [name for name, m in MUTANTS.items() if m.target.__name__.endswith("_forward")]


@pytest.mark.parametrize("name", FORWARD)
def test_definitions_reject_mistakes(name):
    mutant = MUTANTS[name]
    op = mutant.target.__name__.removesuffix("_forward")
    with pytest.raises((LawError, *WRONG)), np.errstate(all="ignore"):
        obeys_definition(op, mutant.build())


@always(st.data(), shapes(least=1), dtypes)
def test_softmax_rows_sum_to_one_or_to_nothing(data, shape, dtype):
    x = data.draw(arrays(shape, dtype, size=30.0))
    mask = data.draw(masks(shape))
    y, _ = ops.softmax_forward(x, mask)
    open_rows = np.broadcast_to(mask, shape).any(axis=-1)
    assert y.min() >= 0.0
    near(y.sum(axis=-1), open_rows, ABSOLUTE[dtype])
    assert not y[~np.broadcast_to(mask, shape)].any()


@always(st.data(), shapes(least=1), st.floats(-1000, 1000))
def test_softmax_ignores_shifts(data, shape, shift):
    x, dy = data.draw(arrays(shape)), data.draw(arrays(shape))
    y, cache = ops.softmax_forward(x)
    near(ops.softmax_forward(x + shift)[0], y)
    (dx,) = ops.softmax_backward(dy, cache)
    near(dx.sum(axis=-1), 0.0)
    near(ops.softmax_backward(dy + shift, cache)[0], dx)


@always(st.data(), shapes(least=1))
def test_masking_in_softmax_is_minus_infinity(data, shape):
    x, dy = data.draw(arrays(shape)), data.draw(arrays(shape))
    mask = data.draw(masks(shape))
    y, cache = ops.softmax_forward(x, mask)
    hidden, _ = ops.softmax_forward(np.where(mask, x, -np.inf))
    np.testing.assert_array_equal(y, hidden)
    (dx,) = ops.softmax_backward(dy, cache)
    assert not dx[~np.broadcast_to(mask, shape)].any()


@always(shapes(0, 2), st.integers(3, 9), seeds)
def test_layer_norm_of_x_has_mean_zero_and_size_one(leading, width, seed):
    x, dy = normal(seed, 2, *leading, width)
    ones, zeros = np.ones(width), np.zeros(width)
    y, cache = ops.layer_norm_forward(x, ones, zeros, eps=1e-30)
    near(y.mean(axis=-1), 0.0)
    near((y * y).mean(axis=-1), 1.0)
    dx, _, _ = ops.layer_norm_backward(dy, cache)
    scale = np.abs(cache.rstd).max()
    near(dx.sum(axis=-1) / scale, 0.0)
    near((dx * cache.xhat).sum(axis=-1) / scale, 0.0)


@always(shapes(0, 2), st.integers(3, 9), st.floats(0.1, 10), st.floats(-10, 10), seeds)
def test_norms_ignore_scales_and_layer_norm_shifts(leading, width, scale, shift, seed):
    x, gamma = normal(seed, *leading, width), normal(seed, width)
    gains = {"gamma": gamma, "beta": 0.0 * gamma}
    y, _ = ops.layer_norm_forward(x, **gains, eps=1e-30)
    near(ops.layer_norm_forward(scale * x + shift, **gains, eps=1e-30)[0], y, 1e-8)
    y, cache = ops.rms_norm_forward(x, gamma, eps=1e-30)
    near(ops.rms_norm_forward(scale * x, gamma, eps=1e-30)[0], y)
    dx, _ = ops.rms_norm_backward(y, cache)
    near((dx * cache.xhat).sum(axis=-1) / np.abs(cache.rrms).max(), 0.0)


def attention(q, k, v, **options):
    """Output and gradients, for a cotangent of cosines."""
    y, cache = ops.attention_forward(q, k, v, **options)
    dy = np.cos(np.arange(y.size)).reshape(y.shape)
    return y, *ops.attention_backward(dy, cache)


@st.composite
def queries_keys_values(draw, least=1):
    B, Hk, group, T, S, D, Dv = (draw(st.integers(least, 4)) for _ in range(7))
    seed = draw(seeds)
    q, k, v = (
        normal(seed, B, group * Hk, T, D),
        normal(seed, B, Hk, S, D),
        normal(seed, B, Hk, S, Dv),
    )
    return q, k, v


@always(queries_keys_values(), st.data())
def test_attention_ignores_the_future(qkv, data):
    q, k, v = qkv
    T, S = q.shape[2], k.shape[2]
    s = data.draw(st.integers(0, S - 1))
    before = attention(q, k, v, causal=True)
    k, v = k.copy(), v.copy()
    k[:, :, s], v[:, :, s] = 7.0, -7.0
    after = attention(q, k, v, causal=True)
    sees = np.arange(T) + S - T >= s
    np.testing.assert_allclose(after[0][:, :, ~sees], before[0][:, :, ~sees], rtol=1e-12)
    if sees.any():
        assert np.abs(after[0] - before[0])[:, :, sees].max() > 1e-6


@always(queries_keys_values(), seeds)
def test_attention_does_not_know_the_order_of_keys(qkv, seed):
    q, k, v = qkv
    order = np.random.default_rng(seed).permutation(k.shape[2])
    y, dq, dk, dv = attention(q, k, v)
    permuted = attention(q, k[:, :, order], v[:, :, order])
    for got, expected in zip(permuted, (y, dq, dk[:, :, order], dv[:, :, order]), strict=True):
        near(got, expected)


@always(queries_keys_values(least=2), st.data())
def test_masking_is_truncation(qkv, data):
    q, k, v = qkv
    kept = data.draw(st.integers(1, k.shape[2] - 1))
    mask = np.arange(k.shape[2]) < kept
    y, dq, dk, dv = attention(q, k, v, mask=mask)
    truncated = attention(q, k[:, :, :kept], v[:, :, :kept])
    for got, expected in zip((y, dq, dk[:, :, :kept], dv[:, :, :kept]), truncated, strict=True):
        near(got, expected)
    assert not dk[:, :, kept:].any()
    assert not dv[:, :, kept:].any()


@always(queries_keys_values())
def test_grouped_heads_are_repeated_heads(qkv):
    q, k, v = qkv
    group = q.shape[1] // k.shape[1]
    y, dq, dk, dv = attention(q, k, v, causal=True)
    repeated = attention(q, k.repeat(group, 1), v.repeat(group, 1), causal=True)
    near(y, repeated[0])
    near(dq, repeated[1])
    for got, many in zip((dk, dv), repeated[2:], strict=True):
        near(got, many.reshape(*k.shape[:2], group, *many.shape[2:]).sum(axis=2))


@always(queries_keys_values(), st.data())
def test_queries_that_see_nothing_get_nothing(qkv, data):
    q, k, v = qkv
    scores = (*q.shape[:3], k.shape[2])
    mask = np.broadcast_to(data.draw(masks(scores)), scores)
    y, dq, dk, dv = attention(q, k, v, mask=mask, causal=data.draw(st.booleans()))
    closed = ~mask.any(axis=-1)
    assert not y[closed].any()
    assert not dq[closed].any()
    assert np.isfinite(dk).all()
    assert np.isfinite(dv).all()


@always(queries_keys_values())
def test_attention_averages_values(qkv):
    q, k, v = qkv
    y, *_ = attention(q, k, v)
    group = q.shape[1] // k.shape[1]
    assert (y <= v.max(axis=2, keepdims=True).repeat(group, 1) + 1e-12).all()
    assert (y >= v.min(axis=2, keepdims=True).repeat(group, 1) - 1e-12).all()
    uniform, *_ = attention(q, k, v, scale=0.0)
    near(uniform, np.broadcast_to(v.mean(2, keepdims=True).repeat(group, 1), y.shape))


@always(st.data(), shapes(1, 3), st.integers(2, 6), st.floats(0, 1), seeds)
def test_the_gradient_of_cross_entropy_sums_to_zero(data, leading, V, smoothing, seed):
    logits = data.draw(arrays((*leading, V)))
    rng = np.random.default_rng(seed)
    targets = np.where(rng.random(leading) < 0.7, rng.integers(V, size=leading), -100)
    loss, cache = ops.cross_entropy_forward(logits, targets, label_smoothing=smoothing)
    assert loss >= 0.0
    (dlogits,) = ops.cross_entropy_backward(1.0, cache)
    near(dlogits.sum(axis=-1), 0.0)
    assert not dlogits[targets == -100].any()
    shifted, _ = ops.cross_entropy_forward(logits + 50.0, targets, label_smoothing=smoothing)
    near(shifted, loss)


@always(shapes(1, 3), st.integers(1, 9))
def test_even_logits_surprise_by_the_logarithm_of_v(shape, V):
    targets = np.arange(np.prod(shape)).reshape(shape) % V
    for smoothing in (0.0, 0.3, 1.0):
        loss, _ = ops.cross_entropy_forward(
            np.full((*shape, V), 2.5), targets, label_smoothing=smoothing
        )
        near(loss, np.log(V))


@always(st.data(), st.integers(1, 4), st.booleans(), st.integers(0, 50))
def test_rotary_keeps_lengths_and_knows_distances_only(data, pairs, interleaved, shift):
    x, z = (data.draw(arrays((2, 3, 4, 2 * pairs))) for _ in range(2))
    cos, sin = rotary_tables(64, 2 * pairs, dtype=np.float64)

    def turn(values, start):
        here = slice(start, start + 4)
        return ops.rotary_forward(values, cos[here], sin[here], interleaved)[0]

    near(np.linalg.norm(turn(x, shift), axis=-1), np.linalg.norm(x, axis=-1))
    scores = turn(x, 0) @ turn(z, 0).swapaxes(-1, -2)
    near(turn(x, shift) @ turn(z, shift).swapaxes(-1, -2), scores)


@always(st.data(), shapes(), st.floats(0, 0.9))
def test_dropout_without_a_mask_is_nothing(data, shape, p):
    x = data.draw(arrays(shape))
    y, cache = ops.dropout_forward(x, None, p)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(ops.dropout_backward(x, cache)[0], x)
    everything, _ = ops.dropout_forward(x, np.ones(shape, bool), p)
    near(everything * (1 - p), x)


def test_dropout_keeps_the_mean():
    keep = np.random.default_rng(0).random(100_000) >= 0.3
    y, _ = ops.dropout_forward(np.ones(100_000), keep, 0.3)
    assert y.mean() == pytest.approx(1.0, abs=0.01)


@always(st.data(), lengths, lengths, st.integers(1, 3))
def test_heads_that_are_split_and_merged_are_as_they_were(data, heads, width, parts):
    x = data.draw(arrays((2, 3, parts * heads * width)))
    split, _ = ops.split_heads_forward(x, (heads,) * parts)
    merged = [ops.merge_heads_forward(part)[0] for part in split]
    np.testing.assert_array_equal(np.concatenate(merged, axis=-1), x)


@always(seeds, st.integers(2, 6), st.integers(1, 5))
def test_embedding_is_a_product_with_one_hot_rows(seed, V, C):
    rng = np.random.default_rng(seed)
    ids, w, dy = rng.integers(V, size=(3, 4)), normal(seed, V, C), normal(seed, 3, 4, C)
    one_hot = np.eye(V)[ids]
    y, cache = ops.embedding_forward(ids, w)
    near(y, one_hot @ w)
    near(ops.embedding_backward(dy, cache)[0], np.einsum("btv,btc->vc", one_hot, dy))


@always(st.data(), shapes())
def test_activations_are_gates(data, shape):
    x = data.draw(arrays(shape, size=3.0))
    assume(np.abs(x).min() > 1e-3)
    relu, silu, gelu, exact = (
        ops.relu_forward(x)[0],
        ops.silu_forward(x)[0],
        ops.gelu_forward(x)[0],
        ops.gelu_forward(x, "none")[0],
    )
    for y in (relu, silu, gelu, exact):
        gate = y / x
        assert gate.min() >= 0.0
        assert gate.max() <= 1.0
    near(gelu, exact, 1e-3)
    for op in (ops.silu_forward, ops.gelu_forward):  # the gates of x and -x sum to 1
        near(op(x)[0] - op(-x)[0], x)


@always(st.data(), shapes())
def test_tanh_is_odd_and_a_stretched_sigmoid(data, shape):
    x = data.draw(arrays(shape, size=3.0))
    y, _ = ops.tanh_forward(x)
    near(ops.tanh_forward(-x)[0], -y)
    near(x * (1.0 + ops.tanh_forward(0.5 * x)[0]) / 2.0, ops.silu_forward(x)[0])


@always(st.data(), shapes())
def test_swiglu_is_silu_times_what_it_gates(data, shape):
    gate, up = data.draw(arrays(shape, size=3.0)), data.draw(arrays(shape))
    y, cache = ops.swiglu_forward(gate, up)
    near(y, ops.silu_forward(gate)[0] * up)
    dgate, dup = ops.swiglu_backward(up, cache)
    near(dup, y)
    near(dgate, ops.silu_backward(up * up, ops.silu_forward(gate)[1])[0])


def test_the_slope_of_relu_at_zero_is_zero():
    _, cache = ops.relu_forward(np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(ops.relu_backward(np.ones(3), cache)[0], [0.0, 0.0, 1.0])
