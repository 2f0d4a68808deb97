"""Products of few rows and attention of one query, as when a model writes a text token by token."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer import ops
from minitransformer.backend import use_backend
from minitransformer.backends.numba import (
    decode_attention,
    decode_blocks,
    flash_forward,
    gemm,
    matvec,
    threads,
)
from minitransformer.doctor.warm import _alone
from minitransformer.generation import generate
from minitransformer.models import GPT, GPTConfig, Llama, LlamaConfig
from minitransformer.nn.stack import run_blocks
from minitransformer.testing import SPECS, check_op
from minitransformer.testing.layouts import LAYOUTS

pytestmark = pytest.mark.kernels

TOLERANCE = {"float32": 2e-5, "float64": 1e-13}

sizes = st.integers(0, 40) | st.sampled_from([1, 63, 64, 65, 257])
dtypes = st.sampled_from(sorted(TOLERANCE))

several_threads = pytest.mark.skipif(
    numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads to compare with one"
)


@pytest.fixture(autouse=True)
def _numba_backend():
    with use_backend("numba"):
        yield
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(params=[0, threads.SMALL], ids=["all cores", "one core if small"])
def _cores(request, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", request.param)


def matrices(seed, M, K, N, dtype):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (N,)))


@settings(max_examples=60)
@given(
    st.integers(0, matvec.FEW),
    sizes,
    sizes,
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(LAYOUTS)),
    dtypes,
    st.booleans(),
    st.booleans(),
)
def test_few_rows_of_any_shape_and_layout(M, K, N, of_x, of_w, dtype, with_bias, transposed):
    x, w, b = matrices(K, M, K, N, dtype)
    expected = x.astype(np.float64) @ w + (b if with_bias else 0)
    weights = LAYOUTS[of_w](np.ascontiguousarray(w.T) if transposed else w)
    y, _ = ops.linear_forward(LAYOUTS[of_x](x), weights, b if with_bias else None, transposed)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE[dtype] * (K + 1))


@pytest.mark.usefixtures("_cores")
@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
def test_every_weight_counts_once(dtype):
    x, w, _ = matrices(0, 3, 45, 21, dtype)
    for k, n in [(0, 0), (7, 3), (8, 20), (44, 20)]:
        one = np.zeros_like(w)
        one[k, n] = w[k, n]
        for weights, transposed in ((one, False), (np.ascontiguousarray(one.T), True)):
            y, _ = ops.linear_forward(x, weights, transposed=transposed)
            expected = np.zeros_like(y)
            expected[:, n] = x[:, k] * w[k, n]
            np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_plain_matrix_is_not_packed(transposed, monkeypatch):
    monkeypatch.setattr(gemm, "_multiply", None)
    x, w, _ = matrices(0, 1, 24, 24, np.float32)
    y, _ = ops.linear_forward(x, w, transposed=transposed)
    np.testing.assert_allclose(y, x @ (w.T if transposed else w), atol=1e-5)


@several_threads
@pytest.mark.parametrize("transposed", [False, True])
def test_few_rows_have_the_same_bits_on_one_thread(transposed):
    x, w, b = matrices(0, 2, 257, 257, np.float32)
    results = []
    for count in (1, 2):
        numba.set_num_threads(count)
        results.append(ops.linear_forward(x, w, b, transposed)[0])
    np.testing.assert_array_equal(*results)


def random_query(rng, B, Hk, G, S, D, Dv, dtype):
    """One query per head; keys and values are the filled part of longer buffers."""
    shapes = (B, Hk * G, 1, D), (B, Hk, S + 3, D), (B, Hk, S + 3, Dv)
    q, keys, values = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return {"q": q, "k": keys[:, :, :S], "v": values[:, :, :S]}


@settings(max_examples=40)
@given(st.data())
def test_one_query_equals_the_textbook(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    B, Hk, G = (data.draw(st.integers(1, 3)) for _ in range(3))
    S, D, Dv = data.draw(st.integers(2, 80)), data.draw(st.integers(2, 40)), data.draw(sizes)
    dtype = data.draw(dtypes)
    arguments = random_query(rng, B, Hk, G, S, D, max(Dv, 2), dtype)
    assert decode_attention.fits(arguments["q"], arguments["k"], arguments["v"])
    scores = (B, Hk * G, 1, S)
    arguments["causal"] = data.draw(st.booleans())
    if data.draw(st.booleans()):
        shape = [size if data.draw(st.booleans()) else 1 for size in scores]
        arguments["mask"] = rng.random(shape[data.draw(st.integers(0, 3)) :]) < 0.6
    if data.draw(st.booleans()):
        arguments |= {"keep": rng.random(scores) < 0.7, "p": 0.3}
    y, cache = ops.attention_forward(**arguments)
    dy = rng.standard_normal(y.shape).astype(dtype)
    got = y, cache.probs, *ops.attention_backward(dy, cache)
    with use_backend("numpy"):
        expected, textbook = ops.attention_forward(**arguments)
        expected = expected, textbook.probs, *ops.attention_backward(dy, textbook)
    for one, other in zip(got, expected, strict=True):
        largest = np.abs(other).max(initial=1.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=2 * TOLERANCE[dtype] * largest)


def test_keys_that_do_not_lie_dense_take_the_general_way():
    arguments = random_query(np.random.default_rng(0), 1, 1, 1, 9, 8, 8, np.float32)
    expected, _ = ops.attention_forward(**arguments)
    arguments["k"] = np.asfortranarray(arguments["k"])
    assert not decode_attention.fits(arguments["q"], arguments["k"], arguments["v"])
    y, _ = ops.attention_forward(**arguments)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_one_query_is_not_packed(monkeypatch):
    monkeypatch.setattr(flash_forward, "forward", None)
    arguments = random_query(np.random.default_rng(0), 1, 1, 1, 9, 8, 8, np.float32)
    y, _ = ops.attention_forward(**arguments)
    assert np.isfinite(y).all()


def test_a_query_that_sees_nothing_gets_0():
    arguments = random_query(np.random.default_rng(0), 1, 1, 2, 9, 8, 8, np.float32)
    mask = np.ones((2, 1, 9), np.bool_)
    mask[1] = False
    y, cache = ops.attention_forward(**arguments, mask=mask)
    assert y[0, 0].any()
    assert not y[0, 1].any()
    assert np.isneginf(cache.logsumexp[0, 1]).all()


def test_masked_keys_may_hold_anything_and_other_nan_shows():
    arguments = random_query(np.random.default_rng(0), 1, 1, 2, 40, 8, 8, np.float32)
    mask = np.arange(40) < 30
    expected, _ = ops.attention_forward(**arguments, mask=mask)
    for anything in (np.nan, np.inf, -np.inf):
        arguments["k"][:, :, 30:] = anything
        y, _ = ops.attention_forward(**arguments, mask=mask)
        np.testing.assert_array_equal(y, expected)
    arguments["q"][0, 1, 0, 2] = np.nan
    y, _ = ops.attention_forward(**arguments, mask=mask)
    assert np.isfinite(y[0, 0]).all()
    assert np.isnan(y[0, 1]).all()


@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
@pytest.mark.parametrize("name", ["layer_norm", "gelu", "add", "embedding", "split_heads"])
def test_what_one_core_does_obeys_the_laws(name, dtype):
    for row in check_op(SPECS[name], "numba", [dtype]):
        assert row.passed, row.verdict


@several_threads
def test_small_work_wakes_no_other_core(monkeypatch):
    loops = []

    def spy(is_alone, _loop=threads._loop):
        loops.append(is_alone)
        return _loop(is_alone)

    monkeypatch.setattr(threads, "_loop", spy)
    ops.gelu_forward(np.ones(threads.SMALL - 1, np.float32))
    ops.gelu_forward(np.ones(threads.SMALL, np.float32))
    assert loops == [True, False]


def test_a_text_is_that_of_the_textbook():
    model = GPT(GPTConfig(vocab_size=65, context=64, layers=2, heads=4, width=96), 0)
    texts = []
    for backend in ("numpy", "numba"):
        with use_backend(backend):
            texts.append(generate(model, [1, 2, 3], max_new_tokens=40))
    assert texts[0] == texts[1]


def llama(kv_heads, interleaved):
    config = LlamaConfig(
        65, context=24, layers=2, heads=6, kv_heads=kv_heads, width=96, interleaved=interleaved
    )
    return Llama(config)


BLOCKS = {
    "GPT": lambda: GPT(GPTConfig(65, context=24, layers=2, heads=4, width=96)),
    "Llama, grouped": lambda: llama(2, interleaved=False),
    "Llama, neighbours": lambda: llama(6, interleaved=True),
}


@pytest.fixture
def _only_in_one_go(monkeypatch):
    def refuse(blocks, x, *args):
        assert x.shape[1] > 1, "block by block"
        return run_blocks.impls["numpy"](blocks, x, *args)

    monkeypatch.setattr(decode_blocks, "_textbook", refuse)


def logits_token_by_token(model, ids, first):
    kv = model.new_kv(1)
    parts = [model(ids[:, :first], kv=kv)[0]]
    parts += [model(ids[:, t : t + 1], kv=kv)[0] for t in range(first, ids.shape[1])]
    assert kv.length == ids.shape[1]
    return np.concatenate(parts, axis=1)


def with_random_parameters(name):
    model, rng = BLOCKS[name](), np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * rng.standard_normal(parameter.shape).astype(np.float32)
    return model


def assert_equal_to_the_textbook(model, ids):
    logits = logits_token_by_token(model, ids, 3)
    with use_backend("numpy"):
        expected, _ = model(ids)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    return logits


@pytest.mark.usefixtures("_only_in_one_go", "_cores")
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_in_one_go_equal_the_textbook(name):
    model, ids = with_random_parameters(name), np.random.default_rng(1).integers(0, 65, (1, 24))
    logits = assert_equal_to_the_textbook(model, ids)
    if numba.config.NUMBA_NUM_THREADS > 1:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(logits_token_by_token(model, ids, 3), logits)


def test_a_step_that_leaves_out_a_part_is_found(monkeypatch):
    model, ids = with_random_parameters("GPT"), np.arange(24)[None]
    model.blocks[1].attention.projection.bias.data[...] = 0
    without, _of_linear = model.blocks[1].attention.projection, decode_blocks._of_linear

    def forgetful(layer):
        return (layer.weight.data, None) if layer is without else _of_linear(layer)

    monkeypatch.setattr(decode_blocks, "_of_linear", forgetful)
    assert_equal_to_the_textbook(model, ids)
    without.bias.data[...] = np.linspace(-1, 1, 96)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal_to_the_textbook(model, ids)


def token(blocks, kv, dtype=np.float32, **options):
    return run_blocks(blocks, np.ones((1, 1, 96), dtype), kv=kv, **options)[0]


@pytest.mark.usefixtures("_only_in_one_go")
def test_what_is_no_plain_token_goes_block_by_block():
    model = BLOCKS["GPT"]()
    kv = model.new_kv(1)
    token(model.blocks, kv)
    for options in ({"rng": np.random.default_rng(0)}, {"mask": np.True_}, {"dtype": np.float64}):
        with pytest.raises(AssertionError, match="block by block"):
            token(model.blocks, kv, **options)
    with pytest.raises(AssertionError, match="block by block"):
        token(model.blocks, None)
    model.blocks[1].attention.projection.weight.data = np.ones((96, 95), np.float32)
    with pytest.raises(AssertionError, match="block by block"):
        token(model.blocks, kv)


def of_another_kind(model):
    model.blocks[1].attention_norm.eps = 1e-3


def without_a_bias(model):
    model.blocks[1].attention.projection.bias = None


def with_other_weights(model):
    model.blocks[1].feed_forward.contract.weight.data = np.ones((384, 96), np.float32)


@pytest.mark.parametrize("change", [of_another_kind, without_a_bias, with_other_weights])
def test_blocks_may_change_from_token_to_token(change):
    model = with_random_parameters("GPT")
    kv, textbook = model.new_kv(1), model.new_kv(1)
    for _ in range(2):
        with use_backend("numpy"):
            expected = token(model.blocks, textbook)
        np.testing.assert_allclose(token(model.blocks, kv), expected, rtol=1e-4, atol=1e-4)
        change(model)


@pytest.mark.usefixtures("_only_in_one_go")
def test_a_full_memory_takes_no_token_in_one_go():
    model = BLOCKS["GPT"]()
    kv = model.new_kv(1)
    for _ in range(24):
        token(model.blocks, kv)
    with pytest.raises(AssertionError, match="block by block"):
        token(model.blocks, kv)


def test_workers_that_warm_up_may_load_before_they_compile():
    numba.get_num_threads()
    _alone()

    @numba.njit
    def never_compiled_before(x):
        return x + 1

    assert never_compiled_before(1) == 2
    assert numba.get_num_threads() == 1
