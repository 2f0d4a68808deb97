"""What the compiler emits for kernels written in Python, executed: results, counters, speed."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("numba_cuda", reason="needs the compiler: pip install minitransformer[cuda]")
pytestmark = pytest.mark.cuda

from numba import config, cuda, float32  # noqa: E402
from numba.core.sigutils import normalize_signature  # noqa: E402

if config.ENABLE_CUDASIM:
    pytest.skip("the simulator replaces the compiler", allow_module_level=True)

from minitransformer.emulator import (  # noqa: E402
    BarrierDivergenceError,
    GlobalMemory,
    OutOfBoundsError,
    PtxKernel,
    parse,
    run,
)
from minitransformer.emulator.measuring import Measurement  # noqa: E402

TILE = 16
MATRICES = "float32[:, ::1], float32[:, ::1], float32[:, ::1]"
ROWS = "float32[:, ::1], float32[:, ::1]"


def compiled(function: Any, signature: str, capability: tuple[int, int] = (8, 0)) -> PtxKernel:
    types = normalize_signature(f"void({signature})")[0]
    ptx, _ = cuda.compile_ptx(function, types, cc=capability, lineinfo=True)
    (kernel,) = parse(ptx).kernels.values()
    return kernel


def launch(kernel: PtxKernel, grid: Any, block: Any, *arrays: np.ndarray, **options: Any) -> Any:
    """Run on arrays, passed in Numba's way; the last one afterwards."""
    memory, parameters, address = GlobalMemory(), [], 0
    for array in arrays:
        address = memory.allocate(array.nbytes)
        memory.write(address, array)
        parameters += [0, 0, array.size, array.itemsize, address, *array.shape, *array.strides]
    run(kernel, grid, block, parameters, memory, **options)
    return memory.read(address, arrays[-1].dtype, arrays[-1].size).reshape(arrays[-1].shape)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def matmul_tiles(a: Any, b: Any, y: Any) -> None:
    a_tile = cuda.shared.array((TILE, TILE), float32)
    b_tile = cuda.shared.array((TILE, TILE), float32)
    column, row = cuda.threadIdx.x, cuda.threadIdx.y
    i, j = cuda.blockIdx.y * TILE + row, cuda.blockIdx.x * TILE + column
    total = float32(0.0)
    for k in range(0, a.shape[1], TILE):
        a_tile[row, column] = a[i, k + column]
        b_tile[row, column] = b[k + row, j]
        cuda.syncthreads()
        for n in range(TILE):
            total += a_tile[row, n] * b_tile[n, column]
        cuda.syncthreads()
    y[i, j] = total


def softmax_by_shuffles(x: Any, y: Any) -> None:
    parts = cuda.shared.array(32, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    top = float32(-math.inf)
    for i in range(thread, x.shape[1], cuda.blockDim.x):
        top = max(top, x[row, i])
    step = 16
    while step > 0:
        top = max(top, cuda.shfl_xor_sync(0xFFFFFFFF, top, step))
        step //= 2
    if thread % 32 == 0:
        parts[thread // 32] = top
    cuda.syncthreads()
    for i in range(cuda.blockDim.x // 32):
        top = max(top, parts[i])
    total = float32(0.0)
    for i in range(x.shape[1]):
        total += math.exp(x[row, i] - top)
    for i in range(thread, x.shape[1], cuda.blockDim.x):
        y[row, i] = math.exp(x[row, i] - top) / total


def test_a_tiled_product_is_right_fast_and_clean() -> None:
    kernel = compiled(matmul_tiles, MATRICES)
    a, b, y = random(256, 256), random(256, 256)[::-1].copy(), np.zeros((256, 256), np.float32)
    start = time.process_time()
    result = launch(kernel, (16, 16), (16, 16), a, b, y)
    assert time.process_time() - start < 4  # 0.4 seconds where nothing else runs
    np.testing.assert_allclose(result, a.astype(np.float64) @ b, atol=1e-4)
    seen = Measurement()
    launch(kernel, (4, 4), (16, 16), a[:64, :64].copy(), b[:64, :64].copy(), y[:64, :64].copy(),
           observers=seen.observers)  # fmt: skip
    assert seen.bugs == []
    assert seen.banks.total().conflicts == 0
    assert seen.mix.flops == 2 * 64**3
    tiles = 2 * (64 // TILE) * 64 * 64 * 4
    assert seen.traffic.total("ld").thread_bytes == tiles
    assert seen.moved_bytes == tiles + 64 * 64 * 4
    assert seen.divergence.divergent.total() == 0


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
def test_softmax_by_shuffles_is_right_and_clean(capability: tuple[int, int]) -> None:
    x, seen = 5 * random(7, 301), Measurement()
    kernel = compiled(softmax_by_shuffles, ROWS, capability)
    result = launch(kernel, 7, 96, x, np.zeros_like(x), observers=seen.observers)
    exact = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    np.testing.assert_allclose(result, exact / exact.sum(1, keepdims=True), rtol=2e-6)
    assert seen.bugs == []


def functions(x: Any, y: Any) -> None:
    i = cuda.grid(1)
    if i < x.shape[0]:
        v = x[i, 0]
        y[i, 0] = math.exp(-v)
        y[i, 1] = math.log(v)
        y[i, 2] = math.tanh(v)
        y[i, 3] = math.erf(v)
        y[i, 4] = math.sqrt(v)
        y[i, 5] = v / (v + x[i, 0] * v)
        y[i, 6] = math.sin(v)
        y[i, 7] = math.cos(v)
        y[i, 8] = v**0.75
        y[i, 9] = math.log1p(v)
        y[i, 10] = math.floor(v)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mathematical_functions(dtype: str) -> None:
    x = np.geomspace(1e-9, 1e9, 500).astype(dtype)[:, None]
    kernel = compiled(functions, ROWS.replace("float32", dtype))
    y = launch(kernel, 4, 128, x, np.zeros((500, 11), dtype))
    v = x[:, 0].astype(np.float64)
    erf = np.array([math.erf(t) for t in v])
    exact = [np.exp(-v), np.log(v), np.tanh(v), erf, np.sqrt(v), 1 / (1 + v), np.sin(v), np.cos(v),
             v**0.75, np.log1p(v), np.floor(v)]  # fmt: skip
    wanted = np.stack(exact, 1).astype(dtype)
    small = np.finfo(dtype).smallest_normal
    np.testing.assert_allclose(y, wanted, rtol=4 * np.finfo(dtype).eps, atol=small)


def without_a_barrier(x: Any, y: Any) -> None:
    shared = cuda.shared.array(64, float32)
    thread = cuda.threadIdx.x
    shared[thread] = x[0, thread]
    y[0, thread] = shared[63 - thread]


def beyond_the_end(x: Any, y: Any) -> None:
    y[0, cuda.threadIdx.x + 1] = x[0, cuda.threadIdx.x]


def before_half_of_the_threads(x: Any, y: Any) -> None:
    if cuda.threadIdx.x < 32:
        cuda.syncthreads()
        y[0, cuda.threadIdx.x] = x[0, 0]
    else:
        y[0, cuda.threadIdx.x] = x[0, 1]
        cuda.syncthreads()


def never_written(x: Any, y: Any) -> None:
    shared = cuda.shared.array(64, float32)
    if cuda.threadIdx.x > 0:
        shared[cuda.threadIdx.x] = x[0, cuda.threadIdx.x]
    cuda.syncthreads()
    y[0, cuda.threadIdx.x] = shared[cuda.threadIdx.x]


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    (number,) = [i for i, line in enumerate(lines, 1) if line == f"    {text}"]
    return f"{Path(__file__).name}:{number}"


def test_planted_bugs_are_found_with_their_lines() -> None:
    x, y = random(1, 64), np.zeros((1, 64), np.float32)
    seen = Measurement()
    launch(compiled(without_a_barrier, ROWS), 1, 64, x, y, observers=seen.observers)
    (race,) = seen.bugs
    assert race.kind == "data race"
    assert line_of("y[0, thread] = shared[63 - thread]") in str(race)
    assert line_of("shared[thread] = x[0, thread]") in str(race)
    with pytest.raises(OutOfBoundsError, match=r"thread \(63, 0, 0\) of block \(0, 0, 0\) writes"):
        launch(compiled(beyond_the_end, ROWS), 1, 64, x, y)
    with pytest.raises(BarrierDivergenceError, match="barrier divergence"):
        launch(compiled(before_half_of_the_threads, ROWS), 1, 64, x, y)
    seen = Measurement()
    launch(compiled(never_written, ROWS), 1, 64, x, y, observers=seen.observers)
    (read,) = seen.bugs
    assert read.kind == "uninitialised read"
    assert line_of("y[0, cuda.threadIdx.x] = shared[cuda.threadIdx.x]") in str(read)
