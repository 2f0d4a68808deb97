"""Every op of the closed set on the device: it does what the textbook does in float64."""

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.backend import OPS
from minitransformer.testing import FUNCTIONS, SPECS, LawError
from minitransformer.testing.functions import equals_reference
from minitransformer.testing.laws import form, linearity, purity, reference
from tests.cuda_lane import (
    SIMULATED,
    DeviceSubject,
    cuda,
    on_device,
    to_host,
    with_arrays_on_device,
)

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]

VERBS = ("accumulate", "scale_", "zero_", "sum_of_squares", "kv_append", "adamw_step", "sgd_step")
FEW = {"B": 1, "H": 2, "Hk": 2, "G": 1, "T": 3}
"""Lengths of axes in the simulator, where that is less than usual; of others, 5 at most."""
LAWS = (form, purity, reference, linearity)


def test_every_op_has_a_kernel():
    assert [name for name, op in OPS.items() if "cuda" not in op.impls] == []


@pytest.mark.parametrize("name", SPECS)
def test_results_are_the_textbooks(name):
    spec, dims = SPECS[name], None
    if SIMULATED:
        dims = {letter: min(length, 5) for letter, length in spec.dims.items()} | FEW
    subject, cases = DeviceSubject(spec), list(spec.cases(dims=dims).items())
    for label, arguments in cases[:1] if SIMULATED else cases:
        try:
            reference(subject, arguments, np.random.default_rng(0))
        except LawError as error:
            raise AssertionError(f"{label}: {error}") from error


@pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")
@pytest.mark.parametrize("name", SPECS)
def test_every_law_holds(name):
    arguments = next(iter(SPECS[name].cases(1).values()))
    for law in LAWS:
        law(DeviceSubject(SPECS[name]), arguments, np.random.default_rng(1))


@pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")
@pytest.mark.parametrize("name", SPECS)
def test_axes_of_all_lengths(name):
    spec = SPECS[name]
    for lengths, dims in spec.other_dims().items():
        arguments = next(iter(spec.cases(2, dims).values()))
        try:
            reference(DeviceSubject(spec), arguments, np.random.default_rng(2))
        except LawError as error:
            raise AssertionError(f"{lengths}: {error}") from error


@pytest.mark.parametrize("name", [*VERBS, "clip_grad_norm"])
def test_verbs_overwrite_arrays_of_the_device(name):
    equals_reference(with_arrays_on_device(FUNCTIONS[name]), "cuda", "float32")


def test_a_checker_that_cannot_fail_would_be_none():
    spec = SPECS["relu"]
    [arguments, *_] = spec.cases().values()

    class Wrong(DeviceSubject):
        def backward(self, dy, cache):
            return tuple(1.01 * gradient for gradient in super().backward(dy, cache))

    with pytest.raises(LawError, match="dx"):
        reference(Wrong(spec), arguments, np.random.default_rng(0))


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: ops.relu_forward(x),
        lambda x: ops.tanh_forward(x),
        lambda x: ops.silu_forward(x),
        lambda x: ops.gelu_forward(x),
        lambda x: ops.gelu_forward(x, "none"),
        lambda x: ops.swiglu_forward(x, np.ones_like(x)),
        lambda x: ops.add_forward(x, np.ones_like(x)),
        lambda x: ops.softmax_forward(x),
        lambda x: ops.rms_norm_forward(x, np.ones_like(x[0])),
        lambda x: ops.layer_norm_forward(x, np.ones_like(x[0]), np.ones_like(x[0])),
    ],
)
def test_nan_stays_nan_and_in_its_row(forward):
    x = np.ones((2, 5), np.float32)
    x[0, 3] = np.nan
    y = to_host(forward(x)[0])
    assert np.isnan(y[0, 3])
    assert np.isfinite(y[1]).all()


@pytest.mark.parametrize("forward", [ops.silu_forward, ops.gelu_forward, ops.tanh_forward])
def test_large_numbers_do_not_overflow(forward):
    x = np.array([-3e38, -1e4, -90.0, 90.0, 1e4, 3e38], np.float32)
    y = to_host(forward(x)[0])
    assert np.isfinite(y).all()
    assert (y[:3] <= 0).all()
    assert (y[3:] > 0).all()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 4), (2, 1, 4)),
        ((2, 1, 4), (1, 3, 1)),
        ((2, 3, 4, 2), (3, 1, 2)),
        ((1, 3, 1, 2), (2, 1, 4, 1)),
        ((3,), (1,)),
        ((0, 3), (3,)),
        ((2, 0), (2, 1)),
        ((1,), (1,)),
    ],
)
def test_all_that_broadcasts_is_added_and_summed(a, b):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in (a, b))
    total, cache = ops.add_forward(x, y)
    np.testing.assert_array_equal(to_host(total), x + y)
    dy = rng.standard_normal((x + y).shape).astype(np.float32)
    expected = ops.add_backward.impls["numpy"](dy, cache)
    for got, want in zip(to_host(ops.add_backward(dy, cache)), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert np.shape(got) == want.shape


def test_embeddings_sum_up_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((5, 3)).astype(np.float32)
    ids = rng.integers(0, 4, (2, 11))
    dy = rng.standard_normal((2, 11, 3)).astype(np.float32)
    _, cache = ops.embedding_forward(ids, w)
    first, second = (to_host(ops.embedding_backward(dy, cache)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not first[4].any()


def test_the_length_of_huge_vectors_is_finite():
    x = np.full(3, 1e30, np.float32)
    assert ops.sum_of_squares(x) == pytest.approx(3e60, rel=1e-6)


def test_many_more_elements_than_threads():
    size = 40 if SIMULATED else 300_000
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    exact = float(np.square(x.astype(np.float64)).sum())
    assert ops.sum_of_squares(x) == pytest.approx(exact, rel=1e-12)
    y = on_device(x)
    ops.scale_(y, 2.0)
    np.testing.assert_array_equal(to_host(y), 2 * x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.accumulate(x, x.copy()),
        lambda x: ops.scale_(x, 2.0),
        lambda x: ops.zero_(x),
        lambda x: ops.adamw_step(x, x.copy(), x.copy(), x.copy(), 1, 0.1),
        lambda x: ops.sgd_step(x, x.copy(), x.copy(), 0.1),
        lambda x: ops.kv_append(*(np.ones((1, 1, 2, 2), np.float32) for _ in "kv"), 0, *[x] * 2),
    ],
)
def test_arrays_of_the_host_are_not_overwritten(call):
    with pytest.raises(TypeError, match=r"in the memory of the host, .* model\.to\(\"cuda\"\)"):
        call(np.ones((1, 1, 1, 2), np.float32))


def test_double_precision_is_refused():
    with pytest.raises(TypeError, match="float64, but the device computes in float32"):
        ops.relu_forward(np.ones(3))


@pytest.mark.skipif(not SIMULATED, reason="all rungs are tried where their bytes are counted, too")
@pytest.mark.parametrize(
    ("name", "sizes", "rungs"),
    [
        ("matmul", (16,), ["thread per element", "shared tiles"]),
        ("softmax", (32, 9), ["thread per row", "block per row"]),
        ("layer_norm", (32, 9), ["thread per row", "block per row", "any length", "in registers"]),
    ],
)
def test_rungs_without_shuffles_and_vectors_are_right(name, sizes, rungs):
    from minitransformer.backends.cuda.ladders import LADDERS

    ladder = LADDERS[name](*sizes)
    for rung in rungs:
        result = to_host(ladder.rungs[rung].run())
        np.testing.assert_allclose(result, ladder.reference, rtol=2e-5, atol=2e-5)


def test_any_number_of_matrices_and_heads_fits_into_a_grid(monkeypatch):
    from minitransformer.backends.cuda import kernel

    grids = []

    class Recorder:
        @staticmethod
        def launch(kernel, grid, block, arguments):
            grids.append(grid)

    x = on_device(np.zeros((350, 200, 1, 1), np.float32))
    monkeypatch.setattr(kernel, "current_device", Recorder)
    _, cache = ops.matmul_forward(x, x)
    ops.matmul_backward(x, cache)
    _, cache = ops.attention_forward(x, x, x)
    ops.attention_backward(x, cache)
    assert len(grids) > 4
    assert max(max(grid[1:]) for grid in grids) <= 65_535
