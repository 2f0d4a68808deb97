"""For every explanation a planted bug that must be called by its name, and no false alarm."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.testing import diagnosis
from minitransformer.testing.gradient_check import gradcheck

B, T, S, C, D = 3, 4, 5, 6, 7
DIMS = {"B": B, "T": T, "S": S, "C": C, "D": D}
rng = np.random.default_rng(7)
X = rng.standard_normal((B, T, C))
W = rng.standard_normal((C, D))
BIAS = rng.standard_normal(D)
KEEP = rng.random((B, T, C)) < 0.7
ROWS = np.array([[True, False, True, True], [True, True, True, True], [False, True, True, False]])
Q, K, V = (rng.standard_normal(shape) for shape in [(B, T, D), (B, S, D), (B, S, C)])


def linear(x, w, b):
    return x @ w + b, (x, w)


def linear_grads(dy, cache):
    x, w = cache
    dw = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dy @ w.T, dw, dy.sum((0, 1))


def change(grads, number, edit):
    """Plant a bug: edit(gradient, dy, cache) replaces one gradient."""

    def backward(dy, cache):
        right = grads(dy, cache)
        wrong = edit(right[number], dy, cache)
        return (*right[:number], wrong, *right[number + 1 :])

    return backward


def softmax(x):
    y = np.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return y, {"y": y}


def softmax_grads(dy, cache):
    y = cache["y"]
    return (y * (dy - (dy * y).sum(-1, keepdims=True)),)


def layer_norm(x, eps=1e-2):
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - x.mean(-1, keepdims=True)) * rstd
    return xhat, {"xhat": xhat, "rstd": rstd}


def layer_norm_grads(dy, cache, terms=(1, 1)):
    xhat, rstd = cache["xhat"], cache["rstd"]
    mean, projection = dy.mean(-1, keepdims=True), xhat * (dy * xhat).mean(-1, keepdims=True)
    return (rstd * (dy - terms[0] * mean - terms[1] * projection),)


def attention(q, k, v):
    scale = 1 / math.sqrt(q.shape[-1])
    probs, _ = softmax(q @ k.swapaxes(-1, -2) * scale)
    return probs @ v, (q, k, v, probs, scale)


def attention_grads(dy, cache):
    q, k, v, probs, scale = cache
    dprobs = dy @ v.swapaxes(-1, -2)
    dscores = probs * (dprobs - (dprobs * probs).sum(-1, keepdims=True)) * scale
    return dscores @ k, dscores.swapaxes(-1, -2) @ q, probs.swapaxes(-1, -2) @ dy


def dropout(x, keep, p):
    return x * keep / (1 - p), (keep, p)


def dropout_grads(dy, cache):
    keep, p = cache
    return (dy * keep / (1 - p),)


def pooled(x, mask):
    """Tanh of the positions (B, T) that count; the others are 0."""
    return np.tanh(x) * mask[..., None], (x, mask)


def pooled_grads(dy, cache):
    x, mask = cache
    return (dy * (1 - np.tanh(x) ** 2) * mask[..., None],)


def gated(x, mask):
    """Half strength where the mask is False."""
    return np.sin(x) * np.where(mask, 1, 0.5).astype(x.dtype), (x, mask)


def embedding(ids, w):
    return w[ids], (ids, w.shape)


def embedding_grads(dy, cache):
    ids, shape = cache
    dw = np.zeros(shape, dy.dtype)
    np.add.at(dw, ids, dy)
    return (dw,)


def repeated(x):
    return np.tanh(x).repeat(2, axis=1), x


def repeated_grads(dy, x, group_sum=True):
    dx = dy * (1 - np.tanh(x) ** 2).repeat(2, axis=1)
    return (dx.reshape(B, T, 2, C).sum(2) if group_sum else dx,)


def no_group_sum(g, dy, x):
    return repeated_grads(dy, x, group_sum=False)[0]


def loss(x):
    return (x * x).mean(), x


def loss_grads(dy, x):
    return (dy * x * (2 / x.size),)


def residual(x, w):
    return x + np.tanh(x) * w, (x, w)


def residual_grads(dy, cache):
    x, w = cache
    return dy * (1 + (1 - np.tanh(x) ** 2) * w), (dy * np.tanh(x)).sum((0, 1))


def cross_entropy(logits, targets, ignore_index=-100):
    kept = targets != ignore_index
    probs, _ = softmax(logits)
    picked = np.take_along_axis(probs, np.where(kept, targets, 0)[..., None], -1)[..., 0]
    return -(np.log(picked) * kept).sum() / logits.dtype.type(kept.sum()), (probs, targets, kept)


def cross_entropy_grads(dy, cache):
    probs, targets, kept = cache
    dlogits = probs.copy()
    rows = np.where(kept, targets, 0)[..., None]
    np.put_along_axis(dlogits, rows, np.take_along_axis(dlogits, rows, -1) - 1, -1)
    return (dlogits * kept[..., None] * (dy / dlogits.dtype.type(kept.sum())),)


IDS = np.array([2, 0, 2, 5, 1, 2])
TARGETS = np.array([[1, -100, 3], [0, 5, -100]])
LOGITS = rng.standard_normal((2, 3, C))
TABLE = rng.standard_normal((8, 4))
LINEAR, ATTENTION = (linear, linear_grads, [X, W, BIAS]), (attention, attention_grads, [Q, K, V])
REPEATED = (repeated, repeated_grads, [X])
SQUARE = (linear, linear_grads, [X, W[:, :C].copy(), BIAS[:C]])
SOFTMAX, NORM = (softmax, softmax_grads, [X]), (layer_norm, layer_norm_grads, [X])
DROPOUT = (dropout, dropout_grads, [X, KEEP, 0.3])
POOLED, GATED = (pooled, pooled_grads, [X, ROWS]), (gated, None, [X, KEEP])
EMBEDDING, LOSS = (embedding, embedding_grads, [IDS, TABLE]), (loss, loss_grads, [X])
RESIDUAL = (residual, residual_grads, [X, W[:, 0].copy()])
CROSS_ENTROPY = (cross_entropy, cross_entropy_grads, [LOGITS, TARGETS])


def times(factor):
    return lambda g, dy, cache: g * factor


def flip_a_row(g, dy, cache):
    return np.concatenate([-g[:1], g[1:]])


def spoil_last_row(g, dy, cache):
    wrong = g.copy()
    wrong[-1] = np.roll(g[-1], 1)
    return wrong


def no_mask(g, dy, cache):
    return dy * (1 - np.tanh(cache[0]) ** 2)


def no_ignoring(g, dy, cache):
    probs, _, kept = cache
    return np.where(kept[..., None], g, dy * probs)


def no_row_sum(g, dy, cache):
    return cache["y"] * dy


def no_mean(g, dy, cache):
    return layer_norm_grads(dy, cache, (0, 1))[0]


def no_projection(g, dy, cache):
    return layer_norm_grads(dy, cache, (1, 0))[0]


def extra_rstd(g, dy, cache):
    return g * cache["rstd"]


def no_skip(g, dy, cache):
    return g - dy


def extra_path(g, dy, cache):
    return g + dy * cache[1]


def round_late(g, dy, cache):
    return g.astype(np.float32).astype(g.dtype)


def round_early(g, dy, cache):
    return (7 * g).astype(np.float32).astype(g.dtype) / 7


def nearly(g, dy, cache):
    return g * (1 + 4e-6 * np.sin(g))


def last_only(g, dy, cache):
    ids, shape = cache
    dw = np.zeros(shape, dy.dtype)
    dw[ids] += dy
    return dw


def no_x(g, dy, cache):
    return dy * np.full_like(g, 2 / g.size)


def cut_last(g, dy, cache):
    return g * (np.arange(T) < T - 1)[:, None]


def swap_axes(g, dy, cache):
    return g.swapaxes(-1, -2).copy()


def no_keep(g, dy, cache):
    return dy / (1 - cache[1])


def swap(dy, cache):
    dq, dk, dv = attention_grads(dy, cache)
    return dk, dq, dv


BUGS = [
    # name, base, number of the gradient, edit, words that the sentence must have
    ("constant_ratio", LINEAR, 0, times(1 / B), "1/3 of .* B, the batch size"),
    ("constant_ratio", LINEAR, 1, times(1 / T), "1/4 of .* T, "),
    ("constant_ratio", LINEAR, 2, times(B * T), "12 times .* B \\* T"),
    ("constant_ratio", ATTENTION, 0, times(math.sqrt(D)), r"sqrt\(7\) times .* D, the head width"),
    ("constant_ratio", ATTENTION, 1, times(1 / math.sqrt(D)), r"1/sqrt\(7\) of .* the head width"),
    ("constant_ratio", ATTENTION, 1, times(D), "7 times .* the head width"),
    ("constant_ratio", ATTENTION, 1, times(T / S), "4/5 of .* T, .* S, "),
    ("constant_ratio", LINEAR, 0, times(2), "2 times .* counted twice"),
    ("constant_ratio", LOSS, 0, times(1 / 2), "1/2 of .* derivative of a square"),
    ("constant_ratio", LINEAR, 1, times(-1), "-1 times .* sign is wrong"),
    ("constant_ratio", LINEAR, 1, times(-1 / B), "minus 1/3 of .* the batch size"),
    ("constant_ratio", LINEAR, 0, times(1.2345), "1.2345 times"),
    ("constant_ratio", DROPOUT, 0, times(1 - 0.3), r"\(1 - p\) times .* division by \(1 - p\)"),
    ("constant_ratio", CROSS_ENTROPY, 0, times(4), "True in targets != ignore_index"),
    ("zero", LINEAR, 0, lambda g, dy, cache: np.zeros_like(g), "no gradient flows"),
    ("transposed", SQUARE, 1, lambda g, *_: g.T.copy(), "axes"),
    ("transposed", LINEAR, 1, lambda g, *_: g.T.copy(), "transpose"),
    ("transposed", ATTENTION, 1, swap_axes, r"\[1, 2\] exchanged"),
    ("broadcast_not_summed", LINEAR, 2, lambda g, dy, cache: dy, r"sum over axes \[0, 1\]"),
    ("broadcast_not_summed", LINEAR, 2, lambda g, dy, cache: dy.sum(0), r"sum over axes \[0\]"),
    ("group_not_summed", REPEATED, 0, no_group_sum, "2 times too long"),
    ("wrong_shape", LINEAR, 2, lambda g, dy, cache: g[None], "needs a reshape"),
    ("wrong_shape", LINEAR, 2, lambda g, dy, cache: g[1:], r"expected \(7,\)"),
    ("dy_ignored", LOSS, 0, lambda g, dy, cache: g / dy, "chain rule"),
    ("not_linear_in_dy", LINEAR, 1, lambda g, dy, cache: g + dy[0, 0] ** 2, "3 times"),
    ("dtype_lost", LINEAR, 0, round_late, "rounding of float32"),
    ("dtype_lost", LINEAR, 0, round_early, "float32"),
    ("nearly_right", LINEAR, 0, nearly, "eps"),
    ("sign_flipped_in_part", LINEAR, 0, flip_a_row, r"wrong sign in index 0 of axis 0 \(B\) only"),
    ("mask_inverted", DROPOUT, 0, lambda g, dy, cache: dy * ~cache[0], "upside down"),
    ("leaks_into_masked", DROPOUT, 0, no_keep, "keep is False"),
    ("leaks_into_masked", POOLED, 0, no_mask, "mask is False"),
    ("leaks_into_masked", CROSS_ENTROPY, 0, no_ignoring, "targets != ignore_index"),
    ("repeated_ids", EMBEDDING, 0, last_only, "in ids"),
    ("wrong_factor", LOSS, 0, no_x, "factor x"),
    ("wrong_factor", SOFTMAX, 0, lambda g, dy, cache: g / cache["y"], "lacks the factor y"),
    ("wrong_factor", NORM, 0, extra_rstd, r"rstd.*one too many"),
    ("wrong_contribution", RESIDUAL, 0, no_skip, "contribution dy, the direct path"),
    ("wrong_contribution", RESIDUAL, 0, extra_path, r"dy \* w is one too many"),
    ("missing_constant_term", SOFTMAX, 0, no_row_sum, "y times a number .*axis 2"),
    ("missing_constant_term", NORM, 0, no_mean, "a number that"),
    ("missing_constant_term", NORM, 0, no_projection, "y times a number"),
    ("unknown", LINEAR, 1, spoil_last_row, r"index 5 of axis 0 \(C\) only, the last one"),
    ("unknown", LINEAR, 0, cut_last, "there it is zero"),
    ("unknown", LINEAR, 0, lambda g, *_: np.roll(g, 1, -1), "every entry"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "base", "number", "edit", "words"), BUGS)
def test_a_planted_bug_is_called_by_its_name(name, base, number, edit, words):
    forward, grads, inputs = base
    gradcheck(forward, grads, inputs).raise_if_failed()
    report = gradcheck(forward, change(grads, number, edit), inputs, dims=DIMS)
    (failure,) = report.failures
    assert failure.explanation.name == name, str(report)
    assert failure.argument == list(report.errors)[number]
    assert np.all(report.errors[failure.argument] > 1e-9)
    assert re.search(words, failure.explanation.sentence), str(report)


def test_gradients_in_the_wrong_order():
    report = gradcheck(attention, swap, [Q, K, V])
    assert [(f.argument, f.explanation.name) for f in report.failures] == [
        ("q", "swapped_arguments"),
        ("k", "swapped_arguments"),
    ]
    report = gradcheck(attention, swap, [Q, K[:, :T], V[:, :T]])
    assert {f.explanation.name for f in report.failures} == {"swapped_arguments"}


def test_wrong_only_where_masked():
    def backward(dy, cache):
        x, mask = cache
        return (dy * np.cos(x) * np.where(mask, 1, np.sin(x)),)

    (failure,) = gradcheck(gated, backward, [X, KEEP]).failures
    assert failure.explanation.name == "wrong_only_where_masked"


def test_right_only_when_square():
    def backward(dy, cache):
        q, k = cache[:2]
        dq, dk, dv = attention_grads(dy, cache)
        if q.shape[1] != k.shape[1]:
            dk = dk + np.roll(dk, 1, axis=1)
        return dq, dk, dv

    square = {"T == S": [Q, K[:, :T], V[:, :T]]}
    (failure,) = gradcheck(attention, backward, [Q, K, V], variants=square).failures
    assert failure.explanation.name == "right_only_when"
    assert "dk is right when T == S" in failure.explanation.sentence
    (failure,) = gradcheck(attention, backward, [Q, K, V]).failures
    assert failure.explanation.name == "unknown"


def test_a_variant_refines_a_simpler_explanation():
    def backward(dy, cache):
        dq, dk, dv = attention_grads(dy, cache)
        return dq, dk * (cache[0].shape[1] / cache[1].shape[1]), dv

    square = {"T == S": [Q, K[:, :T], V[:, :T]]}
    (failure,) = gradcheck(attention, backward, [Q, K, V], variants=square, dims=DIMS).failures
    assert failure.explanation.name == "constant_ratio"
    assert failure.explanation.sentence.endswith("(right when T == S)")


def test_every_explanation_has_a_planted_bug():
    explanations = {*diagnosis.OF_SHAPE, *diagnosis.OF_ZERO, *diagnosis.OF_VALUES}
    planted = {name for name, *_ in BUGS}
    alone = {"swapped_arguments", "wrong_only_where_masked", "right_only_when"}
    alone |= {"factor_outside_mean"}
    elsewhere = {"vacuous", "should_be_zero", "wrong_where_not_sampled"}  # in test_gradcheck
    assert {explain.__name__ for explain in explanations} == planted | alone | elsewhere


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_names_do_not_depend_on_the_size_of_the_numbers(scale):
    def forward(x):
        y, cache = softmax(x)
        return y * scale, cache

    def backward(dy, cache):
        return (cache["y"] * dy * scale,)

    (failure,) = gradcheck(forward, backward, [X]).failures
    assert failure.explanation.name == "missing_constant_term"


def test_a_factor_that_stands_outside_the_means_is_named():
    def backward(dy, cache):
        xhat, rstd, gamma = cache
        mean, along = (part.mean(-1, keepdims=True) for part in (dy, dy * xhat))
        return gamma * rstd * (dy - mean - xhat * along), *true_gradients(dy, cache)[1:]

    true_gradients = ops.layer_norm_backward
    inputs = [X, rng.standard_normal(X.shape[-1]), rng.standard_normal(X.shape[-1])]
    (failure,) = gradcheck(ops.layer_norm_forward, backward, inputs).failures
    assert failure.explanation.name == "factor_outside_mean"
    assert "when it is divided by gamma: gamma belongs inside" in failure.explanation.sentence


def test_a_sample_of_the_entries_is_enough():
    x = rng.standard_normal((20, 30))
    backward = change(softmax_grads, 0, times(1 / 20))
    (failure,) = gradcheck(softmax, backward, [x], dims={"B": 20}, elements=25).failures
    assert failure.explanation.name == "constant_ratio"
    assert "1/20 of" in failure.explanation.sentence


@settings(max_examples=25)
@given(
    st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(3, 5)),
    st.integers(0, 999),
    st.sampled_from([-1, 2, 1 / 2, 1 / 3, 4, math.sqrt(5), 1 / math.sqrt(3), 0.777]),
)
def test_a_ratio_is_a_ratio_at_any_shape(shape, seed, ratio):
    x = np.random.default_rng(seed).standard_normal(shape)
    (failure,) = gradcheck(softmax, change(softmax_grads, 0, times(ratio)), [x], seed=seed).failures
    assert failure.explanation.name == "constant_ratio"


@settings(max_examples=25)
@given(st.tuples(st.integers(2, 3), st.integers(3, 5)), st.integers(0, 999))
def test_noise_is_not_explained(shape, seed):
    """An explanation must account for every entry, so chance finds none."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(shape)
    backward = change(softmax_grads, 0, lambda g, dy, cache: g + dy * noise.astype(g.dtype))
    (failure,) = gradcheck(softmax, backward, [random.standard_normal(shape)], seed=seed).failures
    assert failure.explanation.name == "unknown"
