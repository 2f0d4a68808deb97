"""The matrix product of the numba backend, at every shape, layout, number of threads and CPU."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.tiles import choose_tile
from minitransformer.testing import SPECS, check_op
from minitransformer.testing.layouts import LAYOUTS

pytestmark = pytest.mark.kernels

TOLERANCE = {"float32": 2e-5, "float64": 1e-13}

sizes = st.integers(0, 70) | st.sampled_from([1, 255, 256, 257, 300])


def matrices(seed, M, K, N, dtype):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (N,)))


@pytest.mark.parametrize("name", ["linear", "matmul"])
def test_laws_hold(name):
    for row in check_op(SPECS[name], "numba"):
        assert row.verdict == ""


@settings(max_examples=60)
@given(
    st.tuples(sizes, sizes, sizes),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(TOLERANCE)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_products_of_any_shape_and_layout(shape, of_a, of_b, dtype, with_bias, add, seed):
    M, K, N = shape
    a, b, bias = matrices(seed, M, K, N, dtype)
    before = np.ones((M, N), dtype) if add else np.full((M, N), np.nan, dtype)
    c = before.copy()
    multiply(LAYOUTS[of_a](a), LAYOUTS[of_b](b), c, bias if with_bias else None, add)
    expected = a.astype(np.float64) @ b
    if add:
        expected += before
    elif with_bias:
        expected += bias
    np.testing.assert_allclose(c, expected, rtol=0, atol=TOLERANCE[dtype] * (K + 1))


@pytest.mark.parametrize("turn_a", [False, True])
@pytest.mark.parametrize("turn_b", [False, True])
def test_every_element_is_its_own_sum(turn_a, turn_b):
    a, b, _ = matrices(0, 45, 20, 50, np.float64)
    c = np.empty((45, 50))
    left, right = (np.asfortranarray(a) if turn_a else a, np.asfortranarray(b) if turn_b else b)
    multiply(left, right, c)
    np.testing.assert_allclose(c, a @ b, atol=1e-13)
    for i, k, j in [(0, 0, 0), (44, 19, 49), (41, 3, 17)]:
        a[i, k] += 1.0
        left = np.asfortranarray(a) if turn_a else a
        changed = np.empty_like(c)
        multiply(left, right, changed)
        difference = np.zeros_like(c)
        difference[i] = b[k]
        np.testing.assert_allclose(changed - c, difference, atol=1e-13)
        assert changed[i, j] != c[i, j]
        a[i, k] -= 1.0


def test_nan_and_infinity_reach_their_row_and_column_alone():
    a, b, _ = matrices(0, 13, 8, 37, np.float32)
    a[7, 2], b[3, 20] = np.nan, np.inf
    c = np.empty((13, 37), np.float32)
    multiply(a, b, c)
    assert np.isnan(c[7]).all()
    assert not np.isfinite(c[:, 20]).any()
    rest = np.delete(np.delete(c, 7, axis=0), 20, axis=1)
    assert np.isfinite(rest).all()


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@pytest.mark.parametrize("shape", [(500, 300, 90), (20, 700, 600)])
def test_same_bits_with_any_number_of_threads(shape):
    M, K, N = shape
    x, w, b = matrices(3, M, K, N, np.float32)
    results = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        with use_backend("numba"):
            y, cache = ops.linear_forward(x, w, b)
            results.append((y, *ops.linear_backward(y, cache)))
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for got in results[1:]:
        for one, other in zip(results[0], got, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("features", "machine", "registers"),
    [
        ({"sse2"}, "x86_64", 15),
        ({"avx2", "fma", "sse2"}, "amd64", 16),
        ({"avx2", "fma", "avx512f"}, "x86_64", 32),
        ({"neon"}, "arm64", 32),
        (set(), "riscv64", 15),
    ],
)
def test_a_tile_fits_into_the_registers(features, machine, registers):
    tile = choose_tile(features, machine)
    used = tile.rows * tile.vectors + tile.vectors + 1
    assert registers / 2 < used <= registers
    assert 64 % (tile.vectors * tile.vector_bytes // 4) == 0


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_cpu_with_the_narrowest_vectors():
    code = """
import numpy as np
from minitransformer.backends.numba.gemm import multiply
from minitransformer.backends.numba.tiles import TILE
assert TILE.vector_bytes == 16, TILE
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((45, 300), (300, 50)))
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            c = np.empty((45, 50), dtype)
            multiply(left, right, c)
            np.testing.assert_allclose(c, a.astype(float) @ b, atol=1e-3)
"""
    finished = run(code, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_two_python_threads_may_multiply_at_once(layer):
    code = """
import threading
import numpy as np
from minitransformer.backends.numba.gemm import multiply

a = np.ones((200, 200), np.float32)
results = [np.empty((200, 200), np.float32) for _ in range(3)]
def work(c):
    for _ in range(200):
        multiply(a, a, c)
threads = [threading.Thread(target=work, args=(c,)) for c in results]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert all((c == 200).all() for c in results)
"""
    finished = run(code, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert finished.returncode == 0, finished.stderr
