"""The numba backend: every op, every law, and the same bits however many threads."""

import math

import numba
import numpy as np
import pytest

from minitransformer import ops
from minitransformer.backend import OPS, use_backend
from minitransformer.backends.numba import in_place
from minitransformer.backends.numba.arrays import repeating_rows
from minitransformer.data import Batch
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.nn import flatten_parameters
from minitransformer.optim import AdamW
from minitransformer.testing import FUNCTIONS, SPECS, Subject, check_function, check_op
from minitransformer.testing.differences import cotangent
from minitransformer.testing.subject import cast
from minitransformer.training import train

pytestmark = pytest.mark.kernels

DTYPES = ("float64", "float32")
VERBS = ("accumulate", "scale_", "zero_", "sum_of_squares", "kv_append", "adamw_step", "sgd_step")
LARGE = 70_001  # elements: worth all cores, and no multiple of anything

several_threads = pytest.mark.skipif(
    numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads to compare with one"
)


@pytest.fixture(autouse=True)
def _numba_backend():
    with use_backend("numba"):
        yield
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


def test_every_op_has_a_kernel():
    assert [name for name, op in OPS.items() if "numba" not in op.impls] == []


def test_an_argument_of_another_type_is_refused():
    total = np.zeros(3, np.float32)
    in_place._accumulate(total, np.ones(3, np.float32))
    for part in (np.ones(3), None):
        with pytest.raises(TypeError, match="compiled for"):
            in_place._accumulate(total, part)
    np.testing.assert_array_equal(total, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECS)
def test_op_obeys_every_law(name, dtype):
    for row in check_op(SPECS[name], "numba", [dtype]):
        assert row.passed, row.verdict


@pytest.mark.parametrize("name", [*VERBS, "clip_grad_norm", "Optimizer.step"])
def test_function_equals_its_reference(name):
    for row in check_function(FUNCTIONS[name], "numba"):
        assert row.passed, row.verdict


def results(name, threads):
    """All that an op returns for inputs of more rows than shards."""
    numba.set_num_threads(threads)
    spec = SPECS[name]
    dims = {letter: 4 * size + 1 for letter, size in spec.dims.items()}
    arguments = cast(next(iter(spec.cases(0, dims).values())), "float32")
    subject = Subject(spec, "numba", "float32")
    y, cache = subject.forward(arguments)
    gradients = subject.gradients(cast(cotangent(y, np.random.default_rng(1)), "float32"), cache)
    return [*(y if isinstance(y, tuple) else [y]), *gradients.values()]


@several_threads
@pytest.mark.parametrize("name", SPECS)
def test_one_and_two_threads_give_the_same_bits(name):
    for one, two in zip(results(name, 1), results(name, 2), strict=True):
        np.testing.assert_array_equal(one, two)


def large(dtype, count):
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1.0, LARGE).astype(dtype) for _ in range(count)]


CALLS = {
    "accumulate": (2, lambda a: ops.accumulate(*a)),
    "scale_": (1, lambda a: ops.scale_(*a, -1.5)),
    "zero_": (1, lambda a: ops.zero_(*a)),
    "sum_of_squares": (1, lambda a: a.append(np.array(ops.sum_of_squares(a[0])))),
    "adamw_step": (4, lambda a: ops.adamw_step(*a, 3, 0.1, 0.8, 0.9, 1e-8, 0.2)),
    "sgd_step": (3, lambda a: ops.sgd_step(*a, 0.1, 0.9, True, 0.2)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("verb", CALLS)
def test_large_arrays_are_updated_as_in_the_textbook(verb, dtype):
    count, call = CALLS[verb]
    got, expected = large(dtype, count), large(dtype, count)
    call(got)
    with use_backend("numpy"):
        call(expected)
    for one, other in zip(got, expected, strict=True):
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(one, other, rtol=4 * eps, atol=eps)


@several_threads
@pytest.mark.parametrize("verb", CALLS)
def test_large_updates_have_the_same_bits_on_one_thread(verb):
    count, call = CALLS[verb]
    outcomes = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        arrays = large("float32", count)
        call(arrays)
        outcomes.append(arrays)
    for one, two in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(one, two)


def test_accumulating_what_overlaps_reads_before_it_writes():
    (x,) = large("float32", 1)
    expected = x[1:] + x[:-1]
    ops.accumulate(x[1:], x[:-1])
    np.testing.assert_array_equal(x[1:], expected)


@pytest.mark.parametrize("verb", ["accumulate", "scale_", "adamw_step", "sgd_step"])
def test_a_memory_map_is_updated_where_it_stands(verb, tmp_path):
    count, call = CALLS[verb]
    plain = large("float32", count)
    mapped = np.memmap(tmp_path / "state", np.float32, "w+", shape=LARGE)
    mapped[:] = plain[0]
    call([mapped, *(array.copy() for array in plain[1:])])
    call(plain)
    np.testing.assert_allclose(mapped, plain[0], rtol=1e-6, atol=1e-7)


def test_a_table_on_disk_is_looked_up_where_it_is(tmp_path):
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    table.tofile(tmp_path / "table")
    mapped = np.memmap(tmp_path / "table", np.float32, "r", shape=(4, 3))
    y, _ = ops.embedding_forward(np.array([3, 0], np.uint8), mapped)
    np.testing.assert_array_equal(y, table[[3, 0]])


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: ops.softmax_forward(x),
        lambda x: ops.layer_norm_forward(x, np.ones_like(x[0]), np.ones_like(x[0])),
        lambda x: ops.rms_norm_forward(x, np.ones_like(x[0])),
        lambda x: ops.gelu_forward(x),
        lambda x: ops.gelu_forward(x, "none"),
        lambda x: ops.silu_forward(x),
        lambda x: ops.relu_forward(x),
        lambda x: ops.tanh_forward(x),
        lambda x: ops.swiglu_forward(x, np.ones_like(x)),
    ],
)
def test_nan_stays_nan_and_in_its_row(forward):
    x = np.ones((2, 19), np.float32)
    x[0, 5] = np.nan
    y, _ = forward(x)
    assert np.isnan(y[0, 5])
    assert np.isfinite(y[1]).all()


def test_nan_in_the_logits_shows_in_the_loss():
    logits = np.zeros((2, 19), np.float32)
    logits[0, 5] = np.nan
    loss, _ = ops.cross_entropy_forward(logits, np.array([1, 2]))
    assert np.isnan(loss)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "gelu", "silu", "swiglu"])
def test_a_gradient_of_the_wrong_shape_is_refused(name):
    spec = SPECS[name]
    arguments = next(iter(spec.cases(0).values()))
    _, cache = spec.forward(**arguments)
    with pytest.raises(ValueError, match=f"{name} backward: dy has shape"):
        spec.backward(np.ones((1, 1)), cache)


@pytest.mark.parametrize(
    ("part", "whole", "count"),
    [
        ((5,), (2, 3, 5), 1),
        ((1, 1, 5), (2, 3, 5), 1),
        ((3, 5), (2, 3, 5), 3),
        ((3, 1), (2, 3, 5), 3),
        ((2, 1, 5), (2, 3, 5), 6),
        ((1, 1, 1), (2, 3, 5), 1),
        ((2, 3, 5), (2, 3, 5), 6),
        ((), (4,), 1),
    ],
)
def test_rows_repeat(part, whole, count):
    x = np.random.default_rng(0).random(part)
    few = repeating_rows(x, whole)
    assert len(few) == count
    repeated = np.tile(few, (math.prod(whole[:-1]) // count, 1)).reshape(whole)
    np.testing.assert_array_equal(repeated, np.broadcast_to(x, whole))


CONFIG = GPTConfig(vocab_size=31, context=16, layers=2, heads=2, width=32, dropout=0.1)


def batch(index):
    tokens = np.random.default_rng(index).integers(0, CONFIG.vocab_size // 4, (4, 17))
    return Batch(tokens[:, :-1], tokens[:, 1:])


def loss_and_gradient(backend):
    model = GPT(CONFIG, 0, np.float64)
    flat = flatten_parameters(model.parameters())
    flat.data[:] = 0.3 * np.random.default_rng(1).standard_normal(flat.data.size)
    with use_backend(backend):
        loss, cache = model.loss(batch(0), np.random.default_rng(2))
        model.backward(cache)
    return float(loss), flat.grad


def test_a_model_has_the_textbooks_loss_and_gradient():
    (loss, gradient), (exact, exact_gradient) = map(loss_and_gradient, ("numba", "numpy"))
    assert loss == pytest.approx(exact, rel=1e-12)
    error = np.abs(gradient - exact_gradient).max()
    assert error <= 1e-12 * np.abs(exact_gradient).max()


def losses(backend, steps, threads=numba.config.NUMBA_NUM_THREADS):
    numba.set_num_threads(threads)
    model = GPT(CONFIG, 0, np.float32)
    optimizer = AdamW(model.parameters(), 1e-3)
    with use_backend(backend):
        run = train(model, optimizer, batch, lambda step: 3e-3, steps, clip=1.0)
        return [step.loss for step in run]


def test_training_curves_agree():
    numpy_curve, numba_curve = losses("numpy", 50), losses("numba", 50)
    np.testing.assert_allclose(numba_curve, numpy_curve, rtol=1e-3)
    assert numba_curve[-1] < numba_curve[0] - 0.5


def test_training_repeats_to_the_bit():
    assert losses("numba", 10) == losses("numba", 10)


@several_threads
def test_training_has_the_same_bits_on_one_thread():
    assert losses("numba", 10, threads=1) == losses("numba", 10, threads=2)
