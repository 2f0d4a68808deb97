"""Every op obeys every law, and every law rejects an op that breaks it."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.backend import COMPOSED, OPS
from minitransformer.testing import (
    FUNCTIONS,
    LAWS,
    MODELS,
    SPECS,
    LawError,
    Subject,
    check_all,
    check_function,
    check_op,
    gradcheck,
)
from minitransformer.testing.checks import trials
from minitransformer.testing.functions.composition import COMPOSITION
from minitransformer.testing.laws import (
    adjoint,
    form,
    layout,
    linearity,
    purity,
    reference,
    signature,
)
from minitransformer.testing.strategies import inputs, seeds
from minitransformer.testing.subject import TOLERANCES, compare

pytestmark = pytest.mark.usefixtures("checked_shapes")

OPS_IN_PAIRS = {
    name.removesuffix("_forward") for name in (*OPS, *COMPOSED) if name.endswith("_forward")
}


# Those of numba are on trial in test_numba_kernels.py.
IMPLEMENTATIONS = [
    pytest.param(name, backend, dtype, id=f"{name}-{backend}-{dtype}")
    for name, spec in SPECS.items()
    for backend in sorted({*spec.forward.impls, *spec.backward.impls} - {"numba"})
    for dtype in TOLERANCES
]


def test_every_op_has_a_specification():
    assert set(SPECS) == OPS_IN_PAIRS
    unpaired = {name for name in OPS if name.rpartition("_")[0] not in OPS_IN_PAIRS}
    assert unpaired <= set(FUNCTIONS)


@pytest.mark.parametrize("name", SPECS)
def test_no_two_axes_can_be_confused(name):
    sizes = {letter: size for letter, size in SPECS[name].dims.items() if letter != "G"}
    if "Hk" in sizes and "G" in SPECS[name].dims:
        sizes["H"] = sizes["Hk"] * SPECS[name].dims["G"]
    assert len(set(sizes.values())) == len(sizes)
    assert min(sizes.values()) >= 2


@pytest.mark.parametrize("name", SPECS)
def test_inputs_depend_on_the_seed_alone(name):
    first, again, other = (SPECS[name].cases(seed) for seed in (1, 1, 2))
    for label, arguments in first.items():
        for argument, value in arguments.items():
            np.testing.assert_array_equal(value, again[label][argument])
        x = SPECS[name].wrt[0]
        assert arguments[x].dtype == np.float64
        assert not np.array_equal(arguments[x], other[label][x])


@pytest.mark.parametrize(("name", "backend", "dtype"), IMPLEMENTATIONS)
def test_laws_hold(name, backend, dtype):
    (row,) = check_op(SPECS[name], backend, [dtype])
    assert row.verdict == ""
    assert row.passed
    assert row.error <= (1e-8 if dtype == "float64" else TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_equal_their_references(name, dtype):
    spec = FUNCTIONS[name]
    for backend in sorted({*getattr(spec.function, "impls", ["numpy"])} - {"numba"}):
        (row,) = check_function(spec, backend, [dtype])
        assert row.verdict == ""
        rounded_once = 1e-12 if dtype == "float64" else 1e-6
        assert row.error <= rounded_once * (10 if spec in COMPOSITION else 1)


@pytest.mark.parametrize("name", SPECS)
def test_every_entry_of_a_tiny_gradient_is_right(name):
    spec = SPECS[name]
    tiny = {letter: 2 + i % 2 for i, letter in enumerate(spec.dims)}
    arguments = next(iter(spec.cases(dims=tiny).values()))
    report = gradcheck(spec.forward, spec.backward, arguments, wrt=spec.wrt)
    report.raise_if_failed()
    assert max(report.errors.values()) <= 1e-8


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=6)
@given(st.data())
def test_gradients_are_right_at_any_shape(name, data):
    spec = SPECS[name]
    _, arguments = data.draw(inputs(spec, smooth=True))
    assert adjoint(Subject(spec), arguments, np.random.default_rng(data.draw(seeds))) <= 1e-7


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=6)
@given(st.data())
def test_results_have_the_right_form_at_any_shape(name, data):
    _, arguments = data.draw(inputs(SPECS[name]))
    for law in (form, purity, layout):
        law(Subject(SPECS[name]), arguments, np.random.default_rng(0))


def test_finite_differences_are_left_out_only_where_they_prove_nothing():
    tried = {(law, label) for law, label, _ in trials(Subject(SPECS["relu"]))}
    assert (adjoint, "batch") in tried
    assert (adjoint, "zeros") not in tried
    assert (reference, "zeros") in tried
    assert {law for law, _ in tried} == set(LAWS)
    single = {law for law, *_ in trials(Subject(SPECS["relu"], dtype="float32"))}
    assert single == set(LAWS) - {adjoint}


FAULTS = []


def breaks(law):
    """Plant a half of relu that this law is there to reject."""

    def plant(function):
        FAULTS.append(pytest.param(law, function, id=function.__name__))
        return function

    return plant


def relu(x):
    return np.maximum(x, x.dtype.type(0)), ops.relu_forward.impls["numpy"](x)[1]


def drelu(dy, cache):
    return np.where(cache.x > 0, dy, dy.dtype.type(0))


@breaks(signature)
def renamed_forward(values):
    return relu(values)


@breaks(signature)
def defaulted_forward(x=None):
    return relu(x)


@breaks(form)
def plain_tuple_forward(x):
    return relu(x)[0], (x,)


@breaks(form)
def always_double_forward(x):
    return relu(x)[0].astype(np.float64), relu(x)[1]


@breaks(form)
def list_forward(x):
    return relu(x)[0].tolist(), relu(x)[1]


@breaks(form)
def nan_forward(x):
    return np.where(x > 1, np.nan, relu(x)[0]).astype(x.dtype), relu(x)[1]


@breaks(form)
def bare_backward(dy, cache):
    return drelu(dy, cache)


@breaks(form)
def list_backward(dy, cache):
    return [drelu(dy, cache)]


@breaks(form)
def too_many_backward(dy, cache):
    return drelu(dy, cache), None


@breaks(form)
def too_few_backward(dy, cache):
    return (None,)


@breaks(form)
def always_double_backward(dy, cache):
    return (drelu(dy, cache).astype(np.float64),)


@breaks(form)
def misshapen_backward(dy, cache):
    return (drelu(dy, cache).ravel(),)


@breaks(purity)
def view_forward(x):
    return x.reshape(x.shape), relu(x)[1]


@breaks(purity)
def overwriting_forward(x):
    y, cache = relu(x.copy())
    x *= 0
    return y, cache


@breaks(purity)
def random_forward(x):
    return x * np.random.default_rng().random(x.shape).astype(x.dtype), relu(x)[1]


@breaks(purity)
def same_array_backward(dy, cache):
    return (dy,)


@breaks(purity)
def dy_overwriting_backward(dy, cache):
    dy *= cache.x > 0
    return (dy.copy(),)


@breaks(purity)
def cache_overwriting_backward(dy, cache):
    cache.x[...] = np.maximum(cache.x, 0)
    return (drelu(dy, cache),)


@breaks(purity)
def counting_backward(dy, cache, calls=[]):  # noqa: B006
    calls.append(1)
    return (len(calls) * drelu(dy, cache),)


@breaks(reference)
def doubled_forward(x):
    return 2 * relu(x)[0], relu(x)[1]


@breaks(reference)
def short_forward(x):
    return relu(x)[0][..., :1], relu(x)[1]


@breaks(reference)
def rounding_backward(dy, cache):
    return (np.round(drelu(dy, cache), 3),)


@breaks(linearity)
def sign_of_dy_backward(dy, cache):
    return (drelu(dy, cache) * np.sign(dy),)


@breaks(layout)
def buffer_reading_forward(x):
    buffer = x if x.base is None else x.base
    return relu(np.ndarray(x.shape, x.dtype, buffer))[0], relu(x)[1]


@breaks(layout)
def touching_forward(x):
    x += 0
    return relu(x)


@breaks(adjoint)
def one_at_wrong_side_backward(dy, cache):
    return (drelu(dy, cache._replace(x=-cache.x)),)


@pytest.mark.parametrize(("law", "function"), FAULTS)
def test_a_planted_fault_is_found(law, function, monkeypatch):
    spec = SPECS["relu"]
    half = spec.forward if function.__name__.endswith("_forward") else spec.backward
    monkeypatch.setitem(half.impls, "planted", function)
    arguments = spec.cases()["batch"]
    broken = []
    for dtype in TOLERANCES:
        law(Subject(spec, "numpy", dtype), arguments, np.random.default_rng(0))
        try:
            law(Subject(spec, "planted", dtype), arguments, np.random.default_rng(0))
        except LawError as error:
            broken.append(str(error))
    assert broken
    assert not all(row.passed for row in check_op(spec, "planted"))


def test_every_law_has_a_planted_fault():
    assert {fault.values[0] for fault in FAULTS} == set(LAWS)


def test_a_wrong_gradient_is_diagnosed(monkeypatch):
    def backward(dy, cache):
        return tuple(2 * gradient for gradient in ops.mse_backward.impls["numpy"](dy, cache))

    spec = SPECS["mse"]
    monkeypatch.setitem(spec.backward.impls, "planted", backward)
    with pytest.raises(LawError, match="constant_ratio"):
        adjoint(Subject(spec, "planted"), spec.cases()["batch"], np.random.default_rng(0))


def test_a_row_tells_what_is_wrong(monkeypatch):
    def backward(dy, cache):
        raise RuntimeError("out of ideas")

    monkeypatch.setitem(SPECS["mse"].backward.impls, "planted", backward)
    row, _ = check_op(SPECS["mse"], "planted")
    assert (row.name, row.backend, row.dtype) == ("mse", "planted", "float64")
    assert not row.passed
    assert math.isnan(row.error)
    assert row.verdict == "form (batch): raised RuntimeError: out of ideas"


def test_everything_that_a_backend_implements_is_checked(monkeypatch):
    monkeypatch.setitem(ops.mse_backward.impls, "planted", ops.mse_backward.impls["numpy"])
    monkeypatch.setitem(ops.zero_.impls, "planted", lambda x: None)
    rows = list(check_all(backend="planted"))
    assert [row.name for row in rows] == ["mse", "mse", "zero_", "zero_", *MODELS]
    assert [row.passed for row in rows] == [True, True, False, False, *([False] * len(MODELS))]
    assert {row.backend for row in rows} == {"planted"}


def test_the_laws_need_no_hypothesis():
    code = "import sys, minitransformer.testing; sys.exit('hypothesis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_wrong_function_is_found(monkeypatch):
    monkeypatch.setitem(ops.scale_.impls, "planted", lambda x, factor: None)
    row, _ = check_function(FUNCTIONS["scale_"], "planted")
    assert row.verdict.startswith("reference (matrix): x[")


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, 1.0])),
        (np.array([1.0, np.inf]), np.array([1.0, -np.inf])),
        (np.array([1.0, 1.1]), np.array([1.0, 1.0])),
        (np.array([0.0, 1e-3]), np.array([0.0, 0.0])),
        (np.ones(2), np.ones((1, 2))),
    ],
)
def test_different_arrays_do_not_compare(got, expected):
    with pytest.raises(LawError, match=r"^y"):
        compare({"y": got}, {"y": expected}, 1e-4)


def test_errors_count_relative_to_their_array():
    infinite = np.array([np.inf, 1.0])
    assert compare({"y": infinite}, {"y": infinite}, 0.0) == 0.0
    assert compare({"y": np.array([10.0, 2.0])}, {"y": np.array([10.0, 1.0])}, 1) == 0.1
    assert compare({"y": np.array([1e-9])}, {"y": np.array([0.0])}, 1e-4) == 1e-9
    drowned = {"y": np.array([100.0]), "dx": np.array([1e-3])}
    assert compare(drowned | {"dx": np.array([2e-3])}, drowned, 1e-2) == pytest.approx(1e-3)
    with pytest.raises(LawError, match="expected y, dx"):
        compare({"y": drowned["y"]}, drowned, 1.0)
