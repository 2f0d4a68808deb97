"""Softmax of rows: from a thread for each row to one pass with all of a row in registers.

A number costs five operations and at least 8 bytes of global memory, 4 in and 4 out. An A100 does
ten operations in the time of a byte, so softmax is as fast as its traffic: count the walks.

1. :data:`softmax_thread_per_row`: three walks through memory, and every one of them scattered.
2. :data:`softmax_block_per_row`: coalesced; the threads of a block meet in shared memory.
3. :data:`softmax_shuffles`: they meet in registers, and the largest number and the sum are found in
   one walk (*online*): two walks.
4. :data:`softmax_in_registers`: a warp keeps the row: one walk, and no barrier at all.
"""

import math
from typing import Any

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.broadcasting import repetitions, source
from minitransformer.backends.cuda.kernel import (
    SIMULATED,
    THREADS,
    device_function,
    device_kernel,
)
from minitransformer.backends.cuda.reductions import (
    WARP,
    block_max_by_halves,
    block_max_by_warps,
    block_sum,
    block_sum_by_halves,
    block_sum_by_warps,
    warp_max,
    warp_sum,
)
from minitransformer.ops.softmax import SoftmaxCache

PER_LANE = 32
LONGEST = WARP * PER_LANE
"""Numbers of a row that the registers of a warp hold."""
PER_THREAD = 4
NOTHING = -math.inf


@device_function
def above(x: Any, top: Any) -> Any:
    """``exp(x - top)``, and 0 where x is -inf, even if nothing in the row is more."""
    return float32(0.0) if x == NOTHING else math.exp(x - top)


@device_function
def share(total: Any) -> Any:
    """Return what turns weights into probabilities: 0 if there is no weight at all."""
    return float32(0.0) if total == float32(0.0) else float32(1.0) / total


@device_kernel("float32[:, ::1], float32[:, ::1]")
def softmax_thread_per_row(x: Any, y: Any) -> None:
    """Give each thread a row, as on a CPU: three walks, for the top, the sum, the quotients.

    In every step the 32 lanes of a warp read from 32 rows, so from 32 places far apart: 32 pieces
    of 32 bytes, of which 4 are used. And 1,000 rows are only 1,000 threads; a GPU has room for
    100,000, and needs them, for while some wait for memory others go on.
    """
    row = cuda.grid(1)
    if row >= x.shape[0]:
        return
    top = float32(NOTHING)
    for i in range(x.shape[1]):
        top = max(top, x[row, i])
    total = float32(0.0)
    for i in range(x.shape[1]):
        total += above(x[row, i], top)
    part = share(total)
    for i in range(x.shape[1]):
        y[row, i] = above(x[row, i], top) * part


@device_kernel("float32[:, ::1], float32[:, ::1]")
def softmax_block_per_row(x: Any, y: Any) -> None:
    """Give each block a row, and each of its threads every 256th number.

    Lanes read neighbours: all of every piece that memory delivers is used. In return the threads
    must bring their results together, by halves in shared memory, and wait eight times for each
    other, twice. It is still three walks, but the second and third find the row in the cache.
    """
    shared = cuda.shared.array(THREADS, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    top = float32(NOTHING)
    for i in range(thread, x.shape[1], THREADS):
        top = max(top, x[row, i])
    top = block_max_by_halves(shared, top)
    total = float32(0.0)
    for i in range(thread, x.shape[1], THREADS):
        total += above(x[row, i], top)
    part = share(block_sum_by_halves(shared, total))
    for i in range(thread, x.shape[1], THREADS):
        y[row, i] = above(x[row, i], top) * part


@device_kernel("float32[:, ::1], float32[:, ::1]")
def softmax_shuffles(x: Any, y: Any) -> None:
    """Find top and sum in one walk, and bring the threads' together by shuffles.

    The sum is kept for the largest number so far; when a larger one comes, what was summed shrinks
    by ``exp(old top - new top)``. Each thread has a top and a sum of its own in the end, so these
    too are brought to the common top before they are added. Rows of any length.
    """
    shared = cuda.shared.array(WARP, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    top, total = float32(NOTHING), float32(0.0)
    for i in range(thread, x.shape[1], THREADS):
        number = x[row, i]
        if number > top:
            total *= above(top, number)
            top = number
        total += above(number, top)
    highest = block_max_by_warps(shared, top)
    part = share(block_sum_by_warps(shared, total * above(top, highest)))
    for i in range(thread, x.shape[1], THREADS):
        y[row, i] = above(x[row, i], highest) * part


@device_kernel("float32[:, ::1], float32[:, ::1]")
def softmax_in_registers(x: Any, y: Any) -> None:
    """Give each warp a row of up to 1,024 numbers, 32 a lane, which it reads once and keeps.

    The loops have a fixed length and are unrolled, so the local array is made of registers. The
    lanes agree by shuffles alone, so nothing waits. Global memory sees each byte once.
    """
    numbers = cuda.local.array(PER_LANE, float32)
    row = cuda.blockIdx.x * (THREADS // WARP) + cuda.threadIdx.x // WARP
    lane = cuda.threadIdx.x % WARP
    if row >= x.shape[0]:
        return
    top = float32(NOTHING)
    for n in range(PER_LANE):
        i = lane + n * WARP
        numbers[n] = x[row, i] if i < x.shape[1] else float32(NOTHING)
        top = max(top, numbers[n])
    top = warp_max(top)
    total = float32(0.0)
    for n in range(PER_LANE):
        numbers[n] = above(numbers[n], top)
        total += numbers[n]
    part = share(warp_sum(total))
    for n in range(PER_LANE):
        i = lane + n * WARP
        if i < x.shape[1]:
            y[row, i] = numbers[n] * part


@device_kernel("float32[:, ::1], float32[:, ::1], float32[:, ::1]")
def softmax_gradient(dy: Any, probs: Any, dx: Any) -> None:
    """``dx = y (dy - sum dy y)``, a block for each row."""
    shared = cuda.shared.array(THREADS, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    expected = float32(0.0)
    for i in range(thread, dy.shape[1], THREADS):
        expected += dy[row, i] * probs[row, i]
    expected = block_sum(shared, expected)
    for i in range(thread, dy.shape[1], THREADS):
        dx[row, i] = probs[row, i] * (dy[row, i] - expected)


@device_kernel("float32[:, ::1], float32[:, ::1], float32[:, ::1]")
def softmax_gradient_in_registers(dy: Any, probs: Any, dx: Any) -> None:
    """Give each block a row of up to 1,024 numbers, which it reads once and keeps, 4 a thread.

    A warp that kept two rows of 1,024 would need 196 registers a thread, so that few warps fit into
    a multiprocessor at a time, and all may be waiting for memory at once.
    """
    shared = cuda.shared.array(THREADS, float32)
    change = cuda.local.array(PER_THREAD, float32)
    weight = cuda.local.array(PER_THREAD, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    expected = float32(0.0)
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        inside = i < dy.shape[1]
        change[n] = dy[row, i] if inside else float32(0.0)
        weight[n] = probs[row, i] if inside else float32(0.0)
        expected += change[n] * weight[n]
    expected = block_sum(shared, expected)
    for n in range(PER_THREAD):
        i = thread + n * THREADS
        if i < dy.shape[1]:
            dx[row, i] = weight[n] * (change[n] - expected)


@device_kernel("float32[::1], boolean[::1], int64, int64, float32[::1]")
def hide(x: Any, mask: Any, repeat: int, after: int, y: Any) -> None:
    """Set scores to -inf where the mask says so."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x[i] if mask[source(i, repeat, after)] else float32(NOTHING)


@device_kernel("boolean[::1], boolean[::1], int64, int64")
def repeat_mask(mask: Any, whole: Any, repeat: int, after: int) -> None:
    """Write out a repetition."""
    for i in range(cuda.grid(1), whole.size, cuda.gridsize(1)):
        whole[i] = mask[source(i, repeat, after)]


def hidden(x: Array, mask: Array) -> Array:
    """Return the scores with -inf in place of those that are masked."""
    runs = repetitions(mask.shape, x.shape)
    while len(runs) > 1:
        before, repeat, _ = runs.pop()  # the foremost
        whole = empty((mask.size * repeat,), bool)
        repeat_mask.stride(whole.size, mask.reshape(-1), whole, repeat, mask.size // before)
        mask = whole
    _, repeat, after = runs[0] if runs else (1, 1, max(x.size, 1))
    y = empty(x.shape)
    hide.stride(x.size, x.reshape(-1), mask.reshape(-1), repeat, after, y.reshape(-1))
    return y


@kernel("cuda", ops.softmax_forward)
def softmax_forward(x: Any, mask: Any = None) -> tuple[Array, SoftmaxCache]:
    """Keep short rows in registers; a mask costs a pass before."""
    x = to_device(x)
    if mask is not None:
        x = hidden(x, to_device(mask))
    y, rows, columns = empty(x.shape), math.prod(x.shape[:-1]), x.shape[-1]
    matrices = x.reshape(rows, columns), y.reshape(rows, columns)
    if SIMULATED:
        softmax_block_per_row.launch(rows, THREADS, *matrices)
    elif columns <= LONGEST:
        softmax_in_registers.launch(math.ceil(rows * WARP / THREADS), THREADS, *matrices)
    else:
        softmax_shuffles.launch(rows, THREADS, *matrices)
    return y, SoftmaxCache(y)


@kernel("cuda", ops.softmax_backward)
def softmax_backward(dy: Any, cache: SoftmaxCache) -> tuple[Array]:
    """Keep short rows in registers."""
    (probs,) = cache
    dx, rows, columns = empty(probs.shape), math.prod(probs.shape[:-1]), probs.shape[-1]
    short = columns <= PER_THREAD * THREADS
    gradient = softmax_gradient_in_registers if short else softmax_gradient
    matrices = (each.reshape(rows, columns) for each in (to_device(dy), probs, dx))
    gradient.launch(rows, THREADS, *matrices)
    return (dx,)
