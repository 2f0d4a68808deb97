"""Flash attention of the numba backend against the textbook."""

import sys
import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba.attention import FlashAttentionCache
from minitransformer.testing import SPECS, check_op

pytestmark = pytest.mark.kernels

TOLERANCE = {"float32": 3e-5, "float64": 1e-12}

lengths = st.integers(1, 9) | st.integers(60, 70) | st.sampled_from([1, 64, 128, 150])
widths = st.integers(1, 20) | st.sampled_from([32, 33, 64])


def results(backend, dy, arguments):
    with use_backend(backend):
        y, cache = ops.attention_forward(**arguments)
        return (y, *ops.attention_backward(dy, cache)), cache


def random_case(rng, B, Hk, G, T, S, D, Dv, dtype=np.float32):
    shapes = (B, Hk * G, T, D), (B, Hk, S, D), (B, Hk, S, Dv), (B, Hk * G, T, Dv)
    q, k, v, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return {"q": q, "k": k, "v": v}, dy


def test_laws_hold():
    for row in check_op(SPECS["attention"], "numba"):
        assert row.verdict == ""


@settings(max_examples=40)
@given(st.data())
def test_equals_the_textbook_at_any_shape(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    B, Hk, G = (data.draw(st.integers(1, 2)) for _ in range(3))
    T, S = data.draw(lengths), data.draw(lengths)
    dtype = data.draw(st.sampled_from(sorted(TOLERANCE)))
    arguments, dy = random_case(rng, B, Hk, G, T, S, data.draw(widths), data.draw(widths), dtype)
    scores = (B, Hk * G, T, S)
    arguments["causal"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        shape = [size if data.draw(st.booleans()) else 1 for size in scores]
        arguments["mask"] = rng.random(shape[data.draw(st.integers(0, 3)) :]) < 0.6
    if data.draw(st.booleans()):
        arguments |= {"keep": rng.random(scores) < 0.7, "p": 0.3}
    got, cache = results("numba", dy, arguments)
    expected, textbook = results("numpy", dy, arguments)
    for one, other in zip(got, expected, strict=True):
        largest = np.abs(other).max(initial=1.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[dtype] * largest)
    np.testing.assert_allclose(cache.probs, textbook.probs, rtol=0, atol=TOLERANCE[dtype])


def test_empty_rows_are_zero_and_have_no_gradient():
    rng = np.random.default_rng(0)
    arguments, dy = random_case(rng, 2, 1, 2, 130, 70, 8, 9)
    mask = rng.random((130, 70)) < 0.5
    mask[[0, 63, 64, 129]] = False
    (y, dq, *_), cache = results("numba", dy, {**arguments, "mask": mask})
    assert not y[:, :, [0, 63, 64, 129]].any()
    assert not dq[:, :, [0, 63, 64, 129]].any()
    assert np.isneginf(cache.logsumexp[:, :, 0]).all()


def test_masked_keys_may_hold_anything():
    rng = np.random.default_rng(0)
    arguments, _ = random_case(rng, 1, 1, 1, 70, 80, 8, 8)
    mask = np.arange(80) < 66
    with use_backend("numba"):
        expected, _ = ops.attention_forward(**arguments, mask=mask)
        for anything in (np.nan, np.inf, -np.inf):
            arguments["k"][:, :, 66:] = anything
            y, _ = ops.attention_forward(**arguments, mask=mask)
            np.testing.assert_array_equal(y, expected)


def test_nan_is_not_hidden():
    arguments, _ = random_case(np.random.default_rng(0), 1, 1, 1, 70, 70, 8, 8)
    arguments["q"][0, 0, 3, 2] = np.nan
    with use_backend("numba"):
        y, _ = ops.attention_forward(**arguments, causal=True)
    assert np.isnan(y[0, 0, 3]).all()
    assert np.isfinite(np.delete(y, 3, axis=2)).all()


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_same_bits_with_any_number_of_threads():
    rng = np.random.default_rng(0)
    arguments, dy = random_case(rng, 3, 2, 2, 100, 100, 16, 16)
    arguments |= {"causal": True, "keep": rng.random((3, 4, 100, 100)) < 0.8, "p": 0.2}
    runs = []
    for threads in (1, 2, 2):
        numba.set_num_threads(threads)
        runs.append(results("numba", dy, arguments)[0])
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for again in runs[1:]:
        for one, other in zip(runs[0], again, strict=True):
            np.testing.assert_array_equal(one, other)


def test_memory_grows_with_the_length_not_its_square():
    resource = pytest.importorskip("resource", reason="peak memory is read from Unix")
    T = 8192
    arguments, dy = random_case(np.random.default_rng(0), 1, 1, 1, T, T, 8, 8)
    small, dsmall = random_case(np.random.default_rng(0), 1, 1, 1, 64, 64, 8, 8)
    results("numba", dsmall, {**small, "causal": True})  # compiled
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    _, cache = results("numba", dy, {**arguments, "causal": True})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert isinstance(cache, FlashAttentionCache)
    assert peak < 20 * T * 8 * 4
    unit = 1 if sys.platform == "darwin" else 1024
    assert grown * unit < T * T  # bytes, a quarter of the table of scores
