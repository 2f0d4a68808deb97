import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitransformer.errors import InputError
from minitransformer.nn import Parameter, flatten_parameters
from minitransformer.ops import adamw_step, sgd_step
from minitransformer.optim import SGD, Adam, AdamW, clip_grad_norm

SHAPES = ((3,), (4, 3), (), (2, 2, 2))
STEPS = 100


def new_parameters(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def gradients(steps=STEPS, seed=1):
    """Gradients of each step and parameter, of very different sizes, some of them 0."""
    rng = np.random.default_rng(seed)
    scales = [10.0 ** rng.uniform(-6, 3, shape) * (rng.random(shape) > 0.2) for shape in SHAPES]
    return [[scale * rng.standard_normal(scale.shape) for scale in scales] for _ in range(steps)]


def run(optimizer, grads):
    for step in grads:
        for parameter, grad in zip(optimizer.parameters, step, strict=True):
            parameter.grad[...] = grad
        optimizer.step()
    return [parameter.data for parameter in optimizer.parameters]


def weighted(history, beta):
    """Mean of a history in which each entry weighs ``beta`` times its successor."""
    weights = beta ** np.arange(len(history) - 1.0, -1.0, -1.0)
    return np.tensordot(weights, np.array(history), 1) / weights.sum()


def adamw_reference(p, grads, lr, betas, eps, decay):
    """AdamW without running means: at every step the weighted mean of the whole history."""
    p = np.array(p)
    for t in range(1, len(grads) + 1):
        mean = weighted(grads[:t], betas[0])
        size = np.sqrt(weighted(np.square(grads[:t]), betas[1]))
        p = p - lr * decay * p - lr * mean / (size + eps)
    return p


def sgd_reference(p, grads, lr, momentum, nesterov, decay):
    """SGD without a velocity: every push so far, each weakened by its age."""
    p, pushes = np.array(p), []
    for grad in grads:
        pushes.append(grad + decay * p)
        ages = range(len(pushes) - 1, -1, -1)
        velocity = sum(momentum**age * push for age, push in zip(ages, pushes, strict=True))
        p = p - lr * (pushes[-1] + momentum * velocity if nesterov else velocity)
    return p


def per_parameter(reference, grads, decay, *arguments):
    return [
        reference(parameter.data, list(history), *arguments, decay if len(shape) >= 2 else 0.0)
        for parameter, history, shape in zip(
            new_parameters(), zip(*grads, strict=True), SHAPES, strict=True
        )
    ]


def assert_close(got, expected, tolerance=1e-12):
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("betas", "eps", "decay"),
    [((0.9, 0.999), 1e-8, 0.01), ((0.8, 0.95), 1e-3, 0.3), ((0.0, 0.5), 1e-8, 0.0)],
)
def test_adamw_equals_the_reference(betas, eps, decay):
    got = run(AdamW(new_parameters(), 0.01, betas, eps, decay), gradients())
    assert_close(got, per_parameter(adamw_reference, gradients(), decay, 0.01, betas, eps))


def test_adam_is_adamw_without_decay():
    got = run(Adam(new_parameters(), 0.01), gradients())
    expected = per_parameter(adamw_reference, gradients(), 0.0, 0.01, (0.9, 0.999), 1e-8)
    assert_close(got, expected)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "decay"),
    [(0.0, False, 0.0), (0.0, False, 0.1), (0.9, False, 0.1), (0.9, True, 0.1)],
)
def test_sgd_equals_the_reference(momentum, nesterov, decay):
    got = run(SGD(new_parameters(), 1e-3, momentum, nesterov, decay), gradients())
    expected = per_parameter(sgd_reference, gradients(), decay, 1e-3, momentum, nesterov)
    assert_close(got, expected)


def adamw_mistaken(mistake):
    """One step of AdamW with a well-known mistake."""

    def step(p, g, m, v, t):
        lr, eps, decay = 0.01, 1e-3, 0.3
        if mistake == "L2 penalty":
            g = g + decay * p
        elif mistake == "decay last":
            p = p + 0.0
        m[...] = 0.9 * m + 0.1 * g
        v[...] = 0.999 * v + 0.001 * g**2
        counted = {"no correction": math.inf, "t from 0": t + 1, "t counts parameters": 4 * t}
        t = counted.get(mistake, t)
        mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)
        if mistake == "eps inside the root":
            update = mean / np.sqrt(square + eps)
        elif mistake == "eps before the correction":
            update = mean / ((np.sqrt(v) + eps) / math.sqrt(1 - 0.999**t))
        else:
            update = mean / (np.sqrt(square) + eps)
        if mistake == "decay last":
            return (p - lr * update) * (1 - lr * decay)
        return p * (1 - lr * (0.0 if mistake == "L2 penalty" else decay)) - lr * update

    return step


MISTAKES = (
    "L2 penalty",
    "decay last",
    "no correction",
    "t from 0",
    "t counts parameters",
    "eps inside the root",
    "eps before the correction",
)


@pytest.mark.parametrize("mistake", [None, *MISTAKES])
def test_the_reference_tells_mistakes_apart(mistake):
    p, history = new_parameters()[1].data, [step[1] for step in gradients(10)]
    expected = adamw_reference(p, history, 0.01, (0.9, 0.999), 1e-3, 0.3)
    m, v, step = np.zeros_like(p), np.zeros_like(p), adamw_mistaken(mistake)
    for t, grad in enumerate(history, start=1):
        p = step(p, grad, m, v, t)
    error = np.abs(p - expected).max()
    assert error < 1e-12 if mistake is None else error > 1e-6


@pytest.mark.parametrize("kind", ["AdamW", "SGD", "Nesterov"])
def test_equal_to_torch(kind):
    torch = pytest.importorskip("torch", reason="the oracle of this test")
    mine = new_parameters()
    theirs = [torch.tensor(parameter.data.copy(), requires_grad=True) for parameter in mine]
    matrices = [tensor for tensor in theirs if tensor.ndim >= 2]
    others = [tensor for tensor in theirs if tensor.ndim < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    if kind == "AdamW":
        oracle = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
        optimizer = AdamW(mine, 0.01, weight_decay=0.1)
    else:
        settings = {"momentum": 0.9, "nesterov": kind == "Nesterov", "weight_decay": 0.1}
        oracle = torch.optim.SGD(groups, lr=1e-3, **settings)
        optimizer = SGD(mine, 1e-3, **settings)
    for grads in gradients():
        for tensor, grad in zip(theirs, grads, strict=True):
            tensor.grad = torch.tensor(grad)
        oracle.step()
    assert_close(run(optimizer, gradients()), [tensor.detach().numpy() for tensor in theirs])


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_float32_stays_float32(kind):
    optimizer = kind(new_parameters(dtype=np.float32), 1e-3)
    exact = kind(new_parameters(), 1e-3)
    got = run(optimizer, gradients(20))
    assert all(array.dtype == np.float32 for array in got)
    assert all(array.dtype == np.float32 for array in optimizer.buffers.values())
    assert_close(got, run(exact, gradients(20)), tolerance=1e-4)


@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_decay_shrinks_matrices_only(kind):
    before = new_parameters()
    after = run(kind(new_parameters(), 0.5, weight_decay=0.2), [[np.zeros(s) for s in SHAPES]])
    for parameter, got in zip(before, after, strict=True):
        factor = 0.9 if parameter.data.ndim >= 2 else 1.0
        np.testing.assert_allclose(got, factor * parameter.data, rtol=1e-15)


def test_the_schedule_sets_the_rate():
    optimizer = SGD([Parameter(np.zeros(2))], 1.0)
    for lr in (1.0, 0.1, 0.0):
        optimizer.lr = lr
        run(optimizer, [[np.ones(2)]])
    np.testing.assert_allclose(optimizer.parameters[0].data, -1.1)


def test_a_tied_parameter_is_updated_once():
    tied = Parameter(np.zeros((2, 2)))
    tied.grad[...] = 1.0
    SGD([tied, tied], 0.5).step()
    np.testing.assert_array_equal(tied.data, -0.5)


@pytest.mark.parametrize("moved", [slice(0, 1), slice(1, 2), slice(2, None)])
def test_parameters_that_moved_to_another_buffer_are_still_updated(moved):
    parameters = new_parameters()
    optimizer = SGD(parameters, 1.0)
    flatten_parameters(parameters[moved])
    expected = [parameter.data - 1.0 for parameter in parameters]
    assert_close(run(optimizer, [[np.ones(shape) for shape in SHAPES]]), expected)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_loaded_state_continues_bit_for_bit(kind):
    settings = {"momentum": 0.9} if kind is SGD else {}
    grads = gradients(20)
    unbroken = kind(new_parameters(), 0.01, **settings)
    first = kind(new_parameters(), 0.01, **settings)
    run(first, grads[:10])
    state = first.state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    second = kind([Parameter(p.data.copy()) for p in first.parameters], 0.01, **settings)
    run(first, grads[10:])
    for name, array in state.items():
        np.testing.assert_array_equal(array, kept[name])
    second.load_state_dict(state)
    for mine, theirs in zip(run(second, grads[10:]), run(unbroken, grads), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(second.state_dict()["t"]) == 20


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("v"), "missing: v"),
        (lambda state: state.update(velocity=state["v"]), "unknown: velocity"),
        (lambda state: state.update(m=state["m"][1:]), r"m is float64 of shape \(23,\)"),
        (lambda state: state.update(m=state["m"].astype(np.float32)), "m is float32"),
        (lambda state: state.update(t=np.array(1.5)), "t is float64"),
        (lambda state: state.update(t=np.array([1])), r"t is int64 of shape \(1,\)"),
    ],
)
def test_a_foreign_state_is_refused_and_nothing_changes(damage, message):
    optimizer = AdamW(new_parameters(), 0.01)
    run(optimizer, gradients(3))
    state = {name: array + 1 for name, array in optimizer.state_dict().items()}
    damage(state)
    before = optimizer.state_dict()
    with pytest.raises(InputError, match=message):
        optimizer.load_state_dict(state)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_every_mismatch_is_listed():
    with pytest.raises(InputError, match=r"missing: m\n.*missing: v\n.*unknown: velocity"):
        AdamW(new_parameters(), 0.1).load_state_dict(SGD(new_parameters(), 0.1).state_dict())


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="no parameters"):
        AdamW([], 0.1)
    with pytest.raises(ValueError, match="lr is nan"):
        AdamW(new_parameters(), math.nan).step()
    with pytest.raises(ValueError, match="momentum is 0, expected more than 0 with nesterov"):
        SGD(new_parameters(), 0.1, nesterov=True).step()


def test_adamw_step_works_on_any_shape():
    parameter, grad = np.ones((2, 3)), np.full((2, 3), 5.0)
    adamw_step(parameter, grad, np.zeros((2, 3)), np.zeros((2, 3)), 1, 0.1, weight_decay=0.5)
    np.testing.assert_allclose(parameter, 0.95 - 0.1, rtol=1e-8)  # the first step is lr long
    scalar = np.array(1.0)
    sgd_step(scalar, np.array(2.0), np.array(0.0), 0.25)
    assert scalar == 0.5


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    max_norm=st.floats(0.01, 100.0),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
)
def test_clip_grad_norm(sizes, max_norm, scale, seed):
    rng = np.random.default_rng(seed)
    grads = [scale * rng.standard_normal(size) for size in sizes]
    before = np.concatenate(grads)
    norm = clip_grad_norm(grads, max_norm)
    after = np.concatenate(grads)
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-12)
    if norm > max_norm:
        np.testing.assert_allclose(after, before * (max_norm / (norm + 1e-6)), rtol=1e-12)
        assert np.linalg.norm(after) <= max_norm
    else:
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("damage", [math.nan, math.inf, -math.inf])
def test_clipping_leaves_a_broken_gradient_for_inspection(damage):
    grads = [np.array([3.0, damage], np.float32), np.array([[4.0]], np.float32)]
    kept = [grad.copy() for grad in grads]
    assert not math.isfinite(clip_grad_norm(grads, 1.0))
    for grad, before in zip(grads, kept, strict=True):
        np.testing.assert_array_equal(grad, before)


def test_clipping_measures_without_a_limit_and_keeps_the_dtype():
    grads = [np.array([3.0, 4.0], np.float32)]
    assert clip_grad_norm(grads, math.inf) == 5.0
    assert grads[0].tolist() == [3.0, 4.0]
    assert clip_grad_norm(grads, 1.0) == 5.0
    assert grads[0].dtype == np.float32


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_clipping_refuses_a_limit_that_is_none(max_norm):
    with pytest.raises(ValueError, match="max_norm is .*, expected more than 0"):
        clip_grad_norm([np.ones(2)], max_norm)
