"""The elementary functions of the numba backend, against NumPy in twice the precision."""

import math

import numba
import numpy as np
import pytest

from minitransformer.backends.numba import math as kernels

pytestmark = pytest.mark.kernels

compiled = numba.njit(fastmath={"contract"})  # not kept on disk: the code is looked at


@compiled
def _exp(x, y):
    for i in range(x.size):
        y[i] = kernels.exp(x[i])


@compiled
def _tanh(x, y):
    for i in range(x.size):
        y[i] = kernels.tanh(x[i])


@compiled
def _erf(x, y):
    for i in range(x.size):
        y[i] = kernels.erf(x[i])


@compiled
def _exp_down(x, y):
    for i in range(x.size):
        y[i] = kernels.exp_down(x[i])


FUNCTIONS = {
    "exp": (_exp, np.exp),
    "tanh": (_tanh, np.tanh),
    "erf": (_erf, np.vectorize(math.erf, otypes=[np.float64])),
}


def applied(kernel, x):
    y = np.empty_like(x)
    kernel(x, y)
    return y


def worst_ulps(got, exact):
    """Largest error in units in the last place of the exact value's float."""
    with np.errstate(all="ignore"):
        right = exact.astype(got.dtype)
        same = (got == right) | (np.isnan(got) & np.isnan(right))
        errors = np.abs(got.astype(exact.dtype) - exact) / np.abs(np.spacing(right))
    return float(np.where(same, 0.0, np.nan_to_num(errors, nan=np.inf)).max())


def everywhere(dtype):
    """A million numbers: dense where the functions bend, and of every size there is."""
    rng = np.random.default_rng(0)
    dense = [rng.uniform(-reach, reach, 250_000) for reach in (1.0, 5.0, 750.0)]
    sizes = rng.choice((-1.0, 1.0), 250_000) * 10.0 ** rng.uniform(-44.0, 38.0, 250_000)
    return np.concatenate([*dense, sizes]).astype(dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_within_two_ulps_everywhere(name):
    kernel, reference = FUNCTIONS[name]
    x = everywhere("float32")
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    assert worst_ulps(applied(kernel, x), exact) <= 2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_of_what_is_not_positive(dtype):
    x = np.random.default_rng(0).uniform(kernels.LOW, 0.0, 1_000_000).astype(dtype)
    exact = np.exp(x.astype(np.float64 if dtype == "float32" else np.longdouble))
    assert worst_ulps(applied(_exp_down, x), exact) <= 2.0
    below = np.nextafter(np.array(kernels.LOW, dtype), np.array(-100.0, dtype))
    ends = np.array([0.0, -0.0, below, -1e30, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(applied(_exp_down, ends), [1.0, 1.0, 0.0, 0.0, 0.0, np.nan])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_four_ulps(name):
    kernel, reference = FUNCTIONS[name]
    x = everywhere("float64")
    wide = x.astype(np.longdouble) if name != "erf" else x
    with np.errstate(all="ignore"):
        exact = reference(wide)
    assert worst_ulps(applied(kernel, x), exact) <= 4.0


def test_an_error_of_three_ulps_is_found():
    x = np.array([0.5, 2.0], np.float32)
    wrong = np.exp(x)
    wrong[1] += 3 * np.spacing(wrong[1])
    assert worst_ulps(wrong, np.exp(x.astype(np.float64))) > 2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, dtype):
    kernel, reference = FUNCTIONS[name]
    huge = np.finfo(dtype).max
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, huge, -huge, np.finfo(dtype).tiny]
    x = np.array(special, dtype)
    with np.errstate(all="ignore"):
        expected = reference(x).astype(dtype)
    got = applied(kernel, x)
    np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(got[1:]), np.signbit(expected[1:]))


def test_exp_fades_out_through_subnormal_numbers():
    x = np.linspace(-104.0, -87.0, 10_001, dtype=np.float32)
    with np.errstate(under="ignore"):
        expected = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(applied(_exp, x), expected, rtol=2e-7, atol=1.5e-45)


@pytest.mark.parametrize("kernel", [_exp, _tanh, _erf])
def test_float32_runs_in_vector_lanes(kernel):
    kernel(np.zeros(1, np.float32), np.zeros(1, np.float32))
    signature = next(each for each in kernel.signatures if each[0].dtype.bitwidth == 32)
    assert "fmul contract <" in kernel.inspect_llvm(signature)
