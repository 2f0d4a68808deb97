"""Tests as a student might write them: the solutions of the exercises "write the test".

A test gets the functions that it tests as arguments, and raises AssertionError if they are wrong.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Function = Callable[..., Any]


def test_softmax_forward(softmax_forward: Function) -> None:
    """Compare with the definition, number by number; then ask for the hard cases.

    Parameters
    ----------
    softmax_forward
        On trial: perhaps right, perhaps wrong.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5))
    mask = rng.random(x.shape) < 0.6
    mask[0, 1] = False
    large_where_masked = np.where(mask, x, 1000.0)
    for scores, is_open in (
        (x, None),
        (x, mask),
        (x, mask[0]),
        (x[0, 0], None),
        (1000.0 * x, None),
        (large_where_masked, mask),
    ):
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
            given = scores.astype(dtype)
            y, _ = softmax_forward(given) if is_open is None else softmax_forward(given, is_open)
            assert y.dtype == dtype
            expected = _softmax_by_definition(given, is_open)
            assert np.allclose(y, expected, rtol=0.0, atol=tolerance)
            assert (y[expected == 0.0] == 0.0).all()
            assert np.array_equal(given, scores.astype(dtype))


def _softmax_by_definition(x: Any, mask: Any) -> Any:
    y = np.zeros(x.shape)
    mask = np.broadcast_to(True if mask is None else mask, x.shape)
    for row in np.ndindex(x.shape[:-1]):
        open_scores = [
            float(score) for score, is_open in zip(x[row], mask[row], strict=True) if is_open
        ]
        weights = [math.exp(score - max(open_scores)) for score in open_scores]
        y[row][mask[row]] = [weight / math.fsum(weights) for weight in weights]
    return y


def test_layer_norm_backward(layer_norm_forward: Function, layer_norm_backward: Function) -> None:
    """Compare with finite differences, at random gains and shifts.

    Parameters
    ----------
    layer_norm_forward, layer_norm_backward
        On trial: perhaps right, perhaps wrong.
    """
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 5), (4,)):
        arguments = [rng.standard_normal(size) for size in (shape, shape[-1], shape[-1])]
        _assert_gradients(layer_norm_forward, layer_norm_backward, arguments)


def test_attention_backward(attention_forward: Function, attention_backward: Function) -> None:
    """Compare with finite differences: masks, grouped queries, dropout, all lengths different.

    Parameters
    ----------
    attention_forward, attention_backward
        On trial: perhaps right, perhaps wrong.
    """
    rng = np.random.default_rng(0)
    for kv_heads in (4, 2):
        q, k, v = (
            rng.standard_normal(shape)
            for shape in ((3, 4, 5, 2), (3, kv_heads, 7, 2), (3, kv_heads, 7, 6))
        )
        keep, mask = rng.random((2, 3, 4, 5, 7)) < 0.7
        mask[0, :, 1] = False
        for options in (
            {},
            {"mask": mask},
            {"causal": True, "scale": 0.3},
            {"keep": keep, "p": 0.3},
        ):
            _assert_gradients(attention_forward, attention_backward, [q, k, v], options)


def _assert_gradients(
    forward: Function, backward: Function, arguments: Sequence[Any], options: Any = None
) -> None:
    """<dy, forward's change> is <backward(dy), the step>, for a random dy and a small step."""
    rng, options = np.random.default_rng(1), options or {}
    y, cache = forward(*arguments, **options)
    dy = rng.standard_normal(y.shape)
    gradients = backward(dy, cache)
    assert isinstance(gradients, tuple)
    assert [each.shape for each in gradients] == [each.shape for each in arguments]
    for i, gradient in enumerate(gradients):
        step = 1e-6 * rng.standard_normal(gradient.shape)
        above, below = (
            forward(*arguments[:i], arguments[i] + move, *arguments[i + 1 :], **options)[0]
            for move in (step, -step)
        )
        change = (dy * (above - below)).sum() / 2
        assert math.isclose((gradient * step).sum(), change, rel_tol=1e-5, abs_tol=1e-11)


def test_adamw_step(adamw_step: Function) -> None:
    """Compare three steps with the formula, all settings unusual, one element at a time.

    Parameters
    ----------
    adamw_step
        On trial: perhaps right, perhaps wrong.
    """
    rng = np.random.default_rng(0)
    parameter, m, v = rng.standard_normal(4), np.zeros(4), np.zeros(4)
    expected = [[p, 0.0, 0.0] for p in parameter]
    lr, beta1, beta2, eps, decay = 0.1, 0.7, 0.9, 0.01, 0.3
    for t in (1, 2, 3):
        grad = rng.standard_normal(4)
        before = grad.copy()
        adamw_step(parameter, grad, m, v, t, lr, beta1, beta2, eps, decay)
        for state, g in zip(expected, before, strict=True):
            state[0] *= 1 - lr * decay
            state[1] = beta1 * state[1] + (1 - beta1) * g
            state[2] = beta2 * state[2] + (1 - beta2) * g * g
            mean, square = state[1] / (1 - beta1**t), state[2] / (1 - beta2**t)
            state[0] -= lr * mean / (math.sqrt(square) + eps)
        assert np.allclose(np.transpose([parameter, m, v]), expected, rtol=1e-9, atol=0.0)
        assert np.array_equal(grad, before)


def test_bpe_merge(bpe_merge: Function) -> None:
    """Ask for overlaps, for both ends, for no pair and for nothing.

    Parameters
    ----------
    bpe_merge
        On trial: perhaps right, perhaps wrong.
    """
    for ids, pair, expected in (
        ([5, 1, 2, 1, 2, 1], (1, 2), [5, 9, 9, 1]),
        ([1, 2, 3, 1, 2], (1, 2), [9, 3, 9]),
        ([1, 1, 1, 2, 1, 1], (1, 1), [9, 1, 2, 9]),
        ([2, 1, 3, 2], (1, 2), [2, 1, 3, 2]),
        ([1, 2, 2], (1, 2), [9, 2]),
        ([1], (1, 1), [1]),
        ([], (1, 2), []),
    ):
        given = list(ids)
        assert list(bpe_merge(given, pair, 9)) == expected
        assert given == ids
    assert list(bpe_merge([1, 2, 2, 1, 2], (1, 2), 1)) == [1, 2, 1]
    assert list(bpe_merge([9, 9, 9, 9], (9, 9), 9)) == [9, 9]
