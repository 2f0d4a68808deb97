"""The gradient check accepts right pairs of every form and rejects every breach of the contract."""

import functools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.testing.gradient_check import GradientError, gradcheck


def normal(*shape, seed=1):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def linear_forward(x, w, b=None):
    return (x @ w if b is None else x @ w + b), (x, w, b)


def linear_backward(dy, cache):
    x, w, b = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ w.T, rows.T @ drows, None if b is None else drows.sum(0)


class SoftmaxCache(NamedTuple):
    y: np.ndarray


def softmax_forward(x, mask=None):
    scores = x if mask is None else np.where(mask, x, -np.inf)
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    y = shifted / shifted.sum(-1, keepdims=True)
    return y, SoftmaxCache(y)


def softmax_backward(dy, cache):
    y = cache.y
    return (y * (dy - (dy * y).sum(-1, keepdims=True)),)


def layer_norm_forward(x, gamma, beta, eps=1e-5):
    centered = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centered**2).mean(-1, keepdims=True) + x.dtype.type(eps))
    xhat = centered * rstd
    return xhat * gamma + beta, (xhat, rstd, gamma)


def layer_norm_backward(dy, cache):
    xhat, rstd, gamma = cache
    dxhat = dy * gamma
    projection = xhat * (dxhat * xhat).mean(-1, keepdims=True)
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True) - projection)
    axes = tuple(range(dy.ndim - 1))
    return dx, (dy * xhat).sum(axes), dy.sum(axes)


def halves_forward(x):
    first, second = np.split(x, 2, axis=-1)
    return (first * 2, second**2), second


def halves_backward(dy, cache):
    return (np.concatenate([2 * dy[0], 2 * cache * dy[1]], -1),)


def cross_entropy_forward(logits, targets):
    probs = softmax_forward(logits)[0]
    rows = np.arange(len(targets))
    return -np.log(probs[rows, targets]).mean(), (probs, targets)


def cross_entropy_backward(dy, cache):
    probs, targets = cache
    dlogits = probs.copy()
    dlogits[np.arange(len(targets)), targets] -= 1
    return (dlogits * (dy / len(targets)),)


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dy, cache):
    return (dy * (cache > 0),)


RIGHT = {
    "linear": (linear_forward, linear_backward, [normal(2, 3, 4), normal(4, 5), normal(5)]),
    "linear without b": (linear_forward, linear_backward, [normal(3, 4), normal(4, 5)]),
    "vector": (linear_forward, linear_backward, {"x": normal(4), "w": normal(4, 5)}),
    "softmax": (softmax_forward, softmax_backward, [normal(2, 3, 4)]),
    "masked softmax": (softmax_forward, softmax_backward, [normal(4, 4), np.tri(4, dtype=bool)]),
    "sharp softmax": (softmax_forward, softmax_backward, [60 * normal(3, 5)]),
    "layer norm": (layer_norm_forward, layer_norm_backward, [normal(3, 5), normal(5), normal(5)]),
    "tiny x": (
        layer_norm_forward,
        layer_norm_backward,
        [1e-3 * normal(3, 5), normal(5), normal(5)],
    ),
    "far x": (layer_norm_forward, layer_norm_backward, [300 + normal(3, 5), normal(5), normal(5)]),
    "tuple": (halves_forward, halves_backward, [normal(3, 4)]),
    "loss": (cross_entropy_forward, cross_entropy_backward, [normal(3, 5), np.array([4, 0, 4])]),
    "kinks": (relu_forward, relu_backward, [normal(30, 40)]),
    "large": (linear_forward, linear_backward, [normal(30, 40), normal(40, 50), normal(50)]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_pairs_pass_with_room_to_spare(case):
    report = gradcheck(*RIGHT[case])
    report.raise_if_failed()
    assert report.passed
    assert max(report.errors.values()) < 1e-8


@settings(max_examples=30)
@given(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 5)), st.integers(0, 1000))
def test_right_pairs_pass_at_any_shape_and_seed(shape, seed):
    x, gamma = normal(*shape, seed=seed), 1 + normal(shape[-1], seed=seed) ** 2
    gradcheck(softmax_forward, softmax_backward, {"x": x}, seed=seed).raise_if_failed()
    layer_norm = gradcheck(
        layer_norm_forward, layer_norm_backward, [x, gamma, gamma], wrt=("x", "gamma", "beta")
    )
    if shape[-1] > 2:  # the norm of two numbers is their signs: its derivative is nearly zero
        layer_norm.raise_if_failed()


def test_wrt_may_name_an_absent_argument():
    inputs = {"x": normal(3, 4), "w": normal(4, 5)}
    report = gradcheck(linear_forward, linear_backward, inputs, wrt=("x", "w", "b"))
    assert report.passed
    assert list(report.errors) == ["x", "w"]


def test_wrapped_functions_and_positional_only_arguments():
    def forward(x, /, power=2):
        return x**power, (x, power)

    @functools.wraps(forward)
    def wrapped(*args, **kwargs):
        return forward(*args, **kwargs)

    def backward(dy, cache):
        x, power = cache
        return (dy * power * x ** (power - 1),)

    assert gradcheck(wrapped, backward, {"power": 3, "x": normal(5)}).passed


def test_a_generator_among_the_arguments_is_replayed():
    def forward(x, rng):
        keep = rng.random(x.shape) < 0.5
        return x * keep, keep

    rng = np.random.default_rng(3)
    state = rng.bit_generator.state
    assert gradcheck(forward, lambda dy, keep: (dy * keep,), [normal(4, 5), rng]).passed
    assert rng.bit_generator.state == state


def test_the_check_is_repeatable_and_leaves_inputs_alone():
    x = normal(3, 4)
    x.setflags(write=False)
    first, second = (gradcheck(softmax_forward, softmax_backward, [x], seed=5) for _ in range(2))
    assert first == second
    assert first != gradcheck(softmax_forward, softmax_backward, [x], seed=6)


def test_one_wrong_entry_among_many_is_seen_without_looking_at_it():
    def backward(dy, cache):
        dx, dw, db = linear_backward(dy, cache)
        dw[17, 20] *= 1.001
        return dx, dw, db

    inputs = [normal(3, 40), normal(40, 50), normal(50)]
    report = gradcheck(linear_forward, backward, inputs, elements=4)
    (failure,) = report.failures
    assert failure.argument == "w"
    assert failure.index is None
    assert failure.explanation.name == "wrong_where_not_sampled"
    assert "v random" in str(report)


def test_a_failure_names_argument_index_and_values():
    def backward(dy, cache):
        dx, dw, db = linear_backward(dy, cache)
        db[3] += 1
        return dx, dw, db

    report = gradcheck(linear_forward, backward, [normal(3, 4), normal(4, 5), normal(5)])
    (failure,) = report.failures
    assert (failure.argument, failure.index) == ("b", (3,))
    assert failure.analytic - failure.numeric == pytest.approx(1)
    assert failure.relative_error > 0.1
    assert report.failed("b")
    assert not report.failed("x")
    with pytest.raises(GradientError, match=r"db\[3\] is .* but finite differences give"):
        report.raise_if_failed()


def sum_softmax_forward(x):
    return softmax_forward(x)[0].sum(), x


@pytest.mark.parametrize(
    ("backward", "name"),
    [
        (lambda dy, x: (np.zeros_like(x),), "vacuous"),
        (lambda dy, x: (dy * x,), "should_be_zero"),
    ],
)
def test_a_gradient_that_is_zero_by_nature_proves_nothing(backward, name):
    (failure,) = gradcheck(sum_softmax_forward, backward, [normal(3, 4)]).failures
    assert failure.explanation.name == name


def test_the_gradient_of_an_argument_that_y_ignores_proves_nothing():
    def forward(x, unused):
        return x * 2, unused

    def backward(dy, unused):
        return 2 * dy, np.zeros_like(unused)

    (failure,) = gradcheck(forward, backward, [normal(3), normal(4)]).failures
    assert (failure.argument, failure.explanation.name) == ("unused", "vacuous")


def square_forward(x):
    return x * x, [x]


def spoil_dy(dy, cache):
    dy *= 2 * cache[0]
    return (dy,)


def spoil_input(dy, cache):
    cache[0] *= 2 * dy
    return (cache[0].copy(),)


def count_calls(dy, cache):
    cache.append("called")
    return (dy * cache[0] * len(cache),)


def raise_error(dy, cache):
    raise ValueError("no idea")


def put_nan(dy, cache):
    dx = 2 * dy * cache[0]
    dx[1, 2] = np.nan
    return (dx,)


BREACHES = {
    "dy_overwritten": spoil_dy,
    "input_overwritten": spoil_input,
    "not_repeatable": count_calls,
    "raises": raise_error,
    "not_finite": put_nan,
    "not_a_tuple": lambda dy, cache: 2 * dy * cache[0],
    "wrong_length": lambda dy, cache: (2 * dy * cache[0], dy),
    "missing_gradient": lambda dy, cache: (None,),
    "not_an_array": lambda dy, cache: ((2 * dy * cache[0]).tolist(),),
    "dtype_lost": lambda dy, cache: ((2 * dy * cache[0]).astype(np.float32),),
    "wrong_dtype": lambda dy, cache: ((2 * dy * cache[0]).astype(np.int64),),
    "wrong_shape": lambda dy, cache: ((2 * dy * cache[0]).reshape(2, 6),),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_the_contract_has_a_name(name):
    report = gradcheck(square_forward, BREACHES[name], [normal(3, 4)])
    assert [failure.explanation.name for failure in report.failures] == [name]
    assert name in str(report)


def test_a_list_of_right_gradients_is_only_not_a_tuple():
    report = gradcheck(
        linear_forward,
        lambda dy, cache: list(linear_backward(dy, cache)),
        [normal(3, 4), normal(4, 5), normal(5)],
    )
    assert [failure.explanation.name for failure in report.failures] == ["not_a_tuple"]


@pytest.mark.parametrize("result", [None, 1.0, np.ones((3, 4))])
def test_a_forgotten_return(result):
    inputs = [normal(3, 4), normal(4, 5), normal(5)]
    report = gradcheck(linear_forward, lambda dy, cache: result, inputs)
    assert [failure.explanation.name for failure in report.failures] == [
        "not_a_tuple",
        "wrong_length",
    ]
    assert all(np.isinf(error) for error in report.errors.values())


def test_a_gradient_for_an_absent_argument():
    def backward(dy, cache):
        dx, dw, _ = linear_backward(dy, cache)
        return dx, dw, dy.sum(0)

    inputs = {"x": normal(3, 4), "w": normal(4, 5)}
    report = gradcheck(linear_forward, backward, inputs, wrt=("x", "w", "b"))
    assert [failure.explanation.name for failure in report.failures] == ["gradient_of_absent"]


def test_the_cache_overwritten():
    def backward(dy, cache):
        (y,) = cache
        y *= dy - (dy * y).sum(-1, keepdims=True)
        return (y.copy(),)

    report = gradcheck(softmax_forward, backward, [normal(3, 4)])
    (failure,) = report.failures
    assert failure.explanation.name == "cache_overwritten"
    assert "cache.y" in failure.explanation.sentence


def test_an_input_overwritten_by_forward():
    def forward(x):
        x -= x.mean()
        return x * x, x.copy()

    def backward(dy, centered):
        dx = 2 * dy * centered
        return (dx - dx.mean(),)

    x = normal(3, 4)
    before = x.copy()
    report = gradcheck(forward, backward, [x])
    assert [failure.explanation.name for failure in report.failures] == ["input_overwritten"]
    assert np.array_equal(x, before)


def test_a_forward_that_draws_its_own_random_numbers():
    rng = np.random.default_rng(0)

    def forward(x):
        keep = rng.random(x.shape) < 0.5
        return x * keep, keep

    report = gradcheck(forward, lambda dy, keep: (dy * keep,), [normal(3, 4)])
    assert [failure.explanation.name for failure in report.failures] == ["forward_not_repeatable"]


def test_a_forward_that_is_not_finite():
    (failure,) = gradcheck(lambda x: (x * np.inf, x), lambda dy, x: (dy,), [normal(3)]).failures
    assert failure.explanation.name == "not_finite"


@pytest.mark.parametrize(
    ("forward", "backward", "argument"),
    [
        (lambda x: (x * np.sqrt(np.float64(2)), x), lambda dy, x: (dy * 2**0.5,), None),
        (lambda x: (x * 2**0.5, x), lambda dy, x: (dy * np.sqrt(np.float64(2)),), "x"),
        (lambda x: (x.astype(np.float32) * 1, x), lambda dy, x: (dy,), None),
    ],
)
def test_dtype_lost(forward, backward, argument):
    report = gradcheck(forward, backward, [normal(3, 4)])
    failures = {(failure.argument, failure.explanation.name) for failure in report.failures}
    assert (argument, "dtype_lost") in failures


def test_a_fault_of_form_is_said_to_be_right_elsewhere():
    def backward(dy, cache):
        (x,) = cache
        return (2 * (dy * x.T).T.reshape(x.shape) if x.shape[0] != x.shape[1] else 2 * dy * x,)

    report = gradcheck(
        square_forward, backward, [normal(3, 4)], variants={"T == S": [normal(4, 4)]}
    )
    (failure,) = report.failures
    assert failure.explanation.name == "raises"
    assert "right when T == S" in failure.explanation.sentence


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ([normal(3).astype(np.float32)], {}, TypeError, "x is float32, expected float64"),
        ({"z": normal(3)}, {}, TypeError, "z is no argument of forward"),
        ([normal(3)], {"wrt": ["z"]}, TypeError, "wrt names z"),
        ([3], {"wrt": ["x"]}, TypeError, "wrt names x"),
        ([3], {}, ValueError, "no float64 array"),
    ],
)
def test_wrong_use_is_explained(inputs, options, error, message):
    with pytest.raises(error, match=message):
        gradcheck(square_forward, lambda dy, cache: (dy,), inputs, **options)
