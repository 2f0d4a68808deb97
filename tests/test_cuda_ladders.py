"""Rungs of the GPU's ladders are right, and move the bytes that paper says they do."""

import dataclasses

import numpy as np
import pytest

from minitransformer.emulator.measuring import Measurement
from tests.cuda_lane import DEVICE, cuda, on_device, to_host

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.usefixtures("cuda"),
    pytest.mark.skipif(DEVICE != "emulated", reason="needs the emulator's counters"),
]
__all__ = ["cuda"]

SMALL = {
    "matmul": (128,),
    "softmax": (32, 264),
    "layer_norm": (32, 264),
    "attention": (1, 128),
}
RUNGS = {
    "matmul": [
        "thread per element",
        "shared tiles",
        "thread tiles",
        "register tiles",
        "float16 storage",
        "bfloat16 storage",
    ],
    "softmax": ["thread per row", "block per row", "shuffles", "in registers"],
    "layer_norm": ["thread per row", "block per row", "any length", "in registers"],
    "attention": ["composed", "fused"],
}


def ladder(name):
    from minitransformer.backends.cuda.ladders import LADDERS

    return LADDERS[name](*SMALL[name])


def measured(work):
    """Return what some work returns, and what the observers saw of each of its kernels."""
    from minitransformer.backends.cuda.device import current_device

    kernels = {}

    def watch(kernel, grid, block):
        return kernels.setdefault(kernel.name, Measurement()).observers

    current_device().watch = watch
    try:
        return to_host(work()), kernels
    finally:
        current_device().watch = None


def moved(kernels):
    return sum(kernel.moved_bytes for kernel in kernels.values())


def conflicts(kernels):
    return sum(kernel.banks.total().conflicts for kernel in kernels.values())


def bugs(kernels):
    return [bug for kernel in kernels.values() for bug in kernel.bugs]


def test_all_rungs_are_tried():
    from minitransformer.backends.cuda.ladders import LADDERS

    assert {name: list(ladder(name).rungs) for name in LADDERS} == RUNGS


def check(rung, reference):
    got, kernels = measured(rung.run)
    np.testing.assert_allclose(got, reference, rtol=2e-5, atol=2e-5)
    assert bugs(kernels) == []
    assert moved(kernels) == rung.bytes
    return kernels


@pytest.mark.parametrize(("name", "rung"), [(name, rung) for name in RUNGS for rung in RUNGS[name]])
def test_a_rung_is_right_and_moves_the_bytes_that_were_foretold(name, rung):
    task = ladder(name)
    check(task.rungs[rung], task.reference)


def test_wrong_rungs_would_be_found():
    task = ladder("softmax")
    right = task.rungs["block per row"]
    with pytest.raises(AssertionError):
        check(dataclasses.replace(right, bytes=right.bytes + 32), task.reference)
    with pytest.raises(AssertionError, match="Not equal"):
        check(right, 1.001 * task.reference)


@pytest.mark.parametrize(
    ("a", "b", "a_transposed", "b_transposed"),
    [
        ((256, 48), (48, 128), False, False),
        ((48, 256), (48, 128), True, False),
        ((256, 48), (128, 48), False, True),
    ],
)
def test_large_products_are_fused_multiply_adds_without_conflicts(a, b, a_transposed, b_transposed):
    from minitransformer.backends.cuda.matmul import product

    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape).astype(np.float32) for shape in (a, b))
    given = on_device((left, right))
    got, kernels = measured(lambda: product(*given, a_transposed, b_transposed))
    x, y = left.T if a_transposed else left, right.T if b_transposed else right
    np.testing.assert_allclose(got, x @ y, rtol=1e-4, atol=1e-4)
    (kernel,) = kernels.values()
    least = 4 * (x.size * 1 + y.size * 2 + 256 * 128)  # tiles of 128 by 128: y has two of them
    assert kernel.moved_bytes <= 1.1 * least
    assert kernel.banks.total().conflicts == 0
    assert kernel.mix.inner_share("fma") >= 0.7
    assert kernel.bugs == []


@pytest.mark.parametrize("shape", [(130, 9, 140), (33, 129, 257), (129, 64, 64)])
@pytest.mark.parametrize("offset", [0, 1])
def test_products_with_ragged_edges_and_rows_that_are_not_aligned(shape, offset):
    from minitransformer.backends.cuda.matmul import product

    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    flat, b, bias = (
        rng.standard_normal(size).astype(np.float32)
        for size in (offset + rows * inner, (columns, inner), columns)
    )
    a = on_device(flat).part(offset, flat.size).reshape(rows, inner)
    given = on_device((b, bias))
    got, kernels = measured(lambda: product(a, given[0], b_transposed=True, bias=given[1]))
    expected = flat[offset:].reshape(rows, inner).astype(np.float64) @ b.T + bias
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert bugs(kernels) == []


@pytest.mark.parametrize("columns", [1000, 1100])
def test_rows_too_long_for_registers_have_kernels_too(columns):
    from minitransformer import ops

    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, columns)).astype(np.float32)
    gamma, beta = rng.standard_normal((2, columns)).astype(np.float32)
    for forward, backward, given in (
        (ops.softmax_forward, ops.softmax_backward, (x,)),
        (ops.layer_norm_forward, ops.layer_norm_backward, (x, gamma, beta)),
        (ops.rms_norm_forward, ops.rms_norm_backward, (x, gamma)),
    ):
        y, cache = forward(*given)
        exact, exact_cache = forward.impls["numpy"](*(each.astype(np.float64) for each in given))
        expected = (exact, *backward.impls["numpy"](dy, exact_cache))
        for got, want in zip(to_host((y, *backward(dy, cache))), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def attention(T, S, D, **options):
    from minitransformer import ops

    rng = np.random.default_rng(0)
    shapes = (1, 2, T, D), (1, 1, S, D), (1, 1, S, D), (1, 2, T, D)
    q, k, v, dy = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    given = on_device((q, k, v, dy))

    def both():
        y, cache = ops.attention_forward(*given[:3], **options)
        return (y, *ops.attention_backward(given[3], cache))

    got, kernels = measured(both)
    exact, cache = ops.attention_forward.impls["numpy"](
        *(each.astype(np.float64) for each in (q, k, v)), **options
    )
    expected = (exact, *ops.attention_backward.impls["numpy"](dy, cache))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
    return kernels


@pytest.mark.parametrize(("T", "S", "D"), [(70, 90, 24), (70, 33, 64), (20, 40, 100)])
def test_fused_attention_over_several_tiles_has_no_conflicts_and_no_races(T, S, D):
    kernels = attention(T, S, D, causal=True)
    assert len(kernels) == 4
    assert conflicts(kernels) == 0
    assert bugs(kernels) == []


def test_very_wide_heads_are_composed():
    kernels = attention(9, 12, 130, causal=True)
    assert not any("flash" in name for name in kernels)


def test_fused_attention_touches_memory_in_proportion_to_the_length():
    from minitransformer.backends.cuda.ladders import LADDERS

    def touched(length):
        rungs = LADDERS["attention"](1, length).rungs
        return {
            name: sum(k.least_bytes for k in measured(rung.run)[1].values())
            for name, rung in rungs.items()
        }

    short, long = touched(128), touched(256)
    assert long["fused"] == 2 * short["fused"]
    assert long["composed"] > 2.5 * short["composed"]
