"""Weights, keys and values in 16 bits: they are rounded once, and everything else is float32."""

import numpy as np
import pytest

from minitransformer import ops, placement
from minitransformer.backend import use_backend
from minitransformer.data import Batch
from minitransformer.errors import InputError
from minitransformer.generation import generate
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.models.llama import Llama, LlamaConfig
from minitransformer.nn import add_lora
from minitransformer.optim import AdamW
from tests.cuda_lane import DEVICE, SIMULATED, cuda, on_device, to_host

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("cuda")]
__all__ = ["cuda"]

too_slow = pytest.mark.skipif(SIMULATED, reason="takes the simulator minutes")
counted = pytest.mark.skipif(DEVICE != "emulated", reason="needs the emulator's counters")
each_storage = pytest.mark.parametrize("storage", ["float16", "bfloat16"])
ERROR = {"float16": 2**-11, "bfloat16": 2**-8}
"""Relative, of rounding once."""
SPECIAL = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 6e-8]


def stored(x, storage):
    from minitransformer.backends.cuda.arrays import to_device

    return to_device(np.asarray(x, np.float32), storage)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@each_storage
def test_numbers_are_rounded_to_the_nearest(storage):
    x = np.concatenate([np.float32(SPECIAL), 10.0 ** draw(0, 50).clip(-2, 2) * draw(1, 50)])
    got = stored(x, storage).to_host()
    finite = np.isfinite(x)
    np.testing.assert_array_equal(got[~finite], x[~finite])
    np.testing.assert_array_equal(stored(got, storage).to_host(), got)
    odd_and_even = {"float16": [1 + 2**-8, 1 + 3 * 2**-8, 1.0], "bfloat16": [1.0, 1 + 2**-6, 1.0]}
    np.testing.assert_array_equal(got[6:9], odd_and_even[storage])
    x, got = x[finite], got[finite]
    assert (np.abs(got - x) <= np.maximum(ERROR[storage] * np.abs(x), 2**-25)).all()
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x))


@each_storage
def test_kernels_round_as_the_host_does(storage):
    x = np.concatenate([np.float32(SPECIAL), 100 * draw(2, 6 if SIMULATED else 90)])
    new = x.reshape(1, 1, -1, 2)
    keys, values = (stored(np.zeros_like(new), storage) for _ in "kv")
    filled, _ = ops.kv_append(keys, values, 0, on_device(new), on_device(new))
    np.testing.assert_array_equal(to_host(keys).reshape(-1), stored(x, storage).to_host())
    np.testing.assert_array_equal(filled.to_host(), keys.to_host())


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match=r"number of 7e\+04 does not fit into float16.*bfloat16"):
        stored([1.0, 7e4], "float16")
    with pytest.raises(InputError, match="storage is 'half', expected one of float32, float16"):
        stored([1.0], "half")
    with pytest.raises(ValueError, match="but the host keeps arrays in their own dtype"):
        placement.move(np.ones(2, np.float32), "cpu", "float16")


@each_storage
def test_half_the_bytes_go_to_the_device(storage):
    from minitransformer.backends.cuda.arrays import pool

    before = pool().counters.uploaded_bytes
    x = stored(np.ones((3, 5)), storage)
    assert pool().counters.uploaded_bytes - before == 2 * x.size
    assert x.reshape(5, 3).part(1, 3).to_host().tolist() == [[1.0] * 3] * 2
    assert repr(x) == f"DeviceArray(shape=(3, 5), dtype=float32, stored as {storage})"
    assert x.empty((2,)).storage == x.storage


@each_storage
def test_kernels_that_do_not_know_of_it_refuse(storage):
    x = stored(np.ones((2, 4)), storage)
    with pytest.raises(TypeError, match=f"stored as {storage}.*expected array"):
        ops.relu_forward(x)
    for forward, backward, given in (
        (ops.linear_forward, ops.linear_backward, (np.ones((3, 2), np.float32), x)),
        (ops.matmul_forward, ops.matmul_backward, (np.ones((3, 2), np.float32), x)),
        (ops.embedding_forward, ops.embedding_backward, (np.array([1]), x)),
    ):
        y, cache = forward(*given)
        with pytest.raises(TypeError, match=f"stored as {storage}, which is for reading only"):
            backward(y, cache)


SHAPES = [((1, 40), 70), ((2, 3, 17), 33), ((40, 24), 130), ((33, 41), 67), ((129, 64), 64)]
if SIMULATED:
    SHAPES = [((1, 3), 5), ((2, 3, 4), 3)]


@each_storage
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_products_are_those_of_the_rounded_weights(storage, transposed, rows, columns):
    x, bias = draw(0, *rows), draw(1, columns)
    w = stored(draw(2, *((columns, rows[-1]) if transposed else (rows[-1], columns))), storage)
    y, _ = ops.linear_forward(*on_device((x,)), w, on_device(bias), transposed)
    exact = w.to_host().astype(np.float64)
    exact = x.astype(np.float64) @ (exact.T if transposed else exact) + bias
    assert np.abs(to_host(y) - exact).max() <= 1e-5 * np.abs(exact).max()


@each_storage
def test_rows_of_a_table_are_widened(storage):
    w = stored(draw(0, 5, 3), storage)
    y, _ = ops.embedding_forward(np.array([[4, 0, 4]]), w)
    np.testing.assert_array_equal(to_host(y), w.to_host()[[[4, 0, 4]]])


def attention(storage, T, S, D, **options):
    """Check the op against the textbook in float64; return what it read."""
    q, k, v = draw(0, 2, 2, T, D), draw(1, 2, 1, S, D), draw(2, 2, 1, S, D)
    keys, values = stored(k, storage), stored(v, storage)
    y, _ = ops.attention_forward(on_device(q), keys, values, **options)
    exact = (each.astype(np.float64) for each in (q, keys.to_host(), values.to_host()))
    expected, _ = ops.attention_forward.impls["numpy"](*exact, **options)
    assert np.abs(to_host(y) - expected).max() <= 1e-5 * np.abs(expected).max()


@each_storage
@pytest.mark.parametrize(
    ("T", "S", "D"), [(2, 2, 2)] if SIMULATED else [(1, 50, 24), (70, 90, 100)]
)
def test_attention_is_that_of_the_rounded_keys_and_values(storage, T, S, D):
    mask = np.random.default_rng(3).random((2, 1, T, S)) < 0.7
    mask[0, 0, 0] = False  # a query that sees nothing gets 0
    attention(storage, T, S, D, causal=True)
    attention(storage, T, S, D, mask=mask)


GREEDY = {"float16": 2e-3, "bfloat16": 2e-2}
"""How far logits may be from float32's, compared to the largest."""


def gpt():
    return GPT(GPTConfig(vocab_size=37, context=16, layers=2, heads=2, width=32), 3)


def llama():
    shape = {"layers": 2, "heads": 4, "kv_heads": 2, "width": 32, "hidden": 48}
    return Llama(LlamaConfig(vocab_size=37, context=16, **shape), 3)


def enlarged(model):
    """Draw weights so large that logits differ."""
    rng = np.random.default_rng(4)
    for parameter in model.parameters():
        if len(parameter.shape) >= 2:
            parameter.data[...] = 0.25 * rng.standard_normal(parameter.shape)
    return model


@too_slow
@each_storage
@pytest.mark.parametrize("make", [gpt, llama])
def test_models_write_what_they_write_in_float32(storage, make):
    model, prompts = enlarged(make()), [[1, 2, 3], [4]]
    with use_backend("numpy"):
        expected = generate(model, prompts, max_new_tokens=6)
        logits, _ = model(np.array([expected[0]]))
    assert model.to("cuda", storage) is model
    assert generate(model, prompts, max_new_tokens=6) == expected
    kv = model.new_kv(1)
    got, _ = model(np.array([expected[0]]), kv=kv)
    assert np.abs(to_host(got) - logits).max() <= GREEDY[storage] * np.abs(logits).max()
    stored_as = {p.data.storage for p in model.parameters() if len(p.shape) >= 2}
    assert stored_as == {kv.layers[0].keys.storage} == {stored([1.0], storage).storage}
    assert {p.data.storage for p in model.parameters() if len(p.shape) < 2} == {np.dtype("f4")}


@each_storage
def test_a_model_in_16_bits_only_reads(storage):
    model = enlarged(gpt())
    values = model.state_dict()
    model.to("cuda", storage)
    with pytest.raises(ValueError, match="got no parameters, expected one or more .* not frozen"):
        AdamW(model.parameters(), 0.1)
    for name, rounded in model.to("cpu").state_dict().items():
        assert rounded.dtype == np.float32
        assert np.abs(rounded - values[name]).max() <= ERROR[storage] * np.abs(values[name]).max()


@too_slow
def test_adapters_learn_beside_weights_in_16_bits():
    gradients = {}
    for storage in (None, "float16"):
        model = gpt().to("cuda", "float16").to("cpu").to("cuda", storage)  # the same numbers
        add_lora(model, "*.query_key_value", rank=2)
        model.to("cuda").zero_grad()
        _, cache = model.loss(Batch(np.array([[1, 2, 3]]), np.array([[2, 3, 4]])))
        model.backward(cache)
        gradients[storage] = [p.grad.to_host() for p in model.parameters() if not p.frozen]
    for one, other in zip(*gradients.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)
    assert max(np.abs(gradient).max() for gradient in gradients["float16"]) > 1e-4


def moved(work):
    """Bytes between threads and global memory, in the emulator."""
    from minitransformer.backends.cuda.device import current_device
    from minitransformer.emulator.measuring import Measurement

    kernels = {}
    current_device().watch = lambda kernel, grid, block: (
        kernels.setdefault(kernel.name, Measurement()).observers
    )
    try:
        work()
    finally:
        current_device().watch = None
    assert all(kernel.bugs == [] for kernel in kernels.values())
    assert all(kernel.banks.total().conflicts == 0 for kernel in kernels.values())
    return sum(kernel.moved_bytes for kernel in kernels.values())


@counted
@pytest.mark.parametrize("transposed", [False, True])
def test_half_the_bytes_of_weights_are_read(transposed):
    x, w = on_device(draw(0, 128, 64)), draw(1, 128, 64) if transposed else draw(1, 64, 128)
    full, *halves = (
        moved(lambda s=s: ops.linear_forward(x, stored(w, s), None, transposed))
        for s in (None, "float16", "bfloat16")
    )
    assert halves == [full - 2 * w.size] * 2


@counted
def test_half_the_bytes_of_keys_and_values_are_read():
    q, k, v = on_device(draw(0, 1, 1, 1, 64)), draw(1, 1, 1, 64, 64), draw(2, 1, 1, 64, 64)
    full, half = (
        moved(lambda s=s: ops.attention_forward(q, stored(k, s), stored(v, s)))
        for s in (None, "float16")
    )
    assert half == full - 2 * (k.size + v.size)


@counted
def test_heads_that_share_keys_read_them_once():
    one, four = (
        moved(lambda heads=heads: ops.attention_forward(*of_heads(heads), causal=True))
        for heads in (1, 4)
    )
    assert four - one <= 3 * 2 * 64 * 4 + 4 * 32  # queries and results alone


def of_heads(heads):
    return on_device((draw(0, 1, heads, 1, 64), draw(1, 1, 1, 64, 64), draw(2, 1, 1, 64, 64)))
