"""Cross-entropy: softmax, logarithm and mean in one walk; the probabilities are never stored.

The logits of a language model are the largest array of a step: every position has one for each word
of the vocabulary. Forward reads them once and keeps two numbers for each row, its top and the sum
of its exponentials, found online. From these backward makes each probability again where it writes
the gradient.
"""

import math
from typing import Any, NamedTuple

from numba import cuda, float32

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.kernel import THREADS, device_kernel
from minitransformer.backends.cuda.reductions import block_max, block_sum
from minitransformer.backends.cuda.softmax import NOTHING, above


class CrossEntropyCache(NamedTuple):
    """What this backward needs: class v has probability ``exp(logits[n, v] - top) / total``."""

    logits: Array  # (rows, V)
    targets: Array  # (rows,)
    top: Array  # (rows,), the largest logit
    total: Array  # (rows,), sum of exp(logits - top)
    kept: Array  # (1,), number of targets that are not ignored, as a float
    shape: tuple[int, ...]  # of the logits
    ignore_index: int
    label_smoothing: float


@device_kernel(
    "float32[:, ::1], int64[::1], int64, float32, float32[::1], float32[::1], float32[::1]"
)
def cross_entropy_rows(
    logits: Any,
    targets: Any,
    ignore_index: int,
    smoothing: float,
    top: Any,
    total: Any,
    surprise: Any,
) -> None:
    """Give each block a row: its top, its sum of exponentials, and its surprise at the target.

    A block whose target is ignored stops at once. A target that is no class at all makes the loss
    NaN: nothing is read where nothing is.
    """
    shared = cuda.shared.array(THREADS, float32)
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    classes, target = logits.shape[1], targets[row]
    if target == ignore_index:
        if thread == 0:
            surprise[row] = float32(0.0)
        return
    own_top, own_total, own_sum = float32(NOTHING), float32(0.0), float32(0.0)
    for i in range(thread, classes, THREADS):
        logit = logits[row, i]
        if logit > own_top:
            own_total *= above(own_top, logit)
            own_top = logit
        own_total += above(logit, own_top)
        own_sum += logit
    highest = block_max(shared, own_top)
    weights = block_sum(shared, own_total * above(own_top, highest))
    average = block_sum(shared, own_sum) / float32(classes)
    if thread == 0:
        at_target = logits[row, target] if 0 <= target < classes else float32(math.nan)
        expected = at_target + smoothing * (average - at_target) if smoothing else at_target
        surprise[row] = math.log(weights) + (highest - expected)
        top[row] = highest
        total[row] = weights


@device_kernel("float32[::1], int64[::1], int64, float32[::1], float32[::1]")
def mean_of_kept(surprise: Any, targets: Any, ignore_index: int, loss: Any, kept: Any) -> None:
    """Average over the targets that are not ignored, with one block; nothing goes to the host."""
    shared = cuda.shared.array(THREADS, float32)
    total, count = float32(0.0), float32(0.0)
    for row in range(cuda.threadIdx.x, targets.size, THREADS):
        total += surprise[row]
        if targets[row] != ignore_index:
            count += float32(1.0)
    total = block_sum(shared, total)
    count = block_sum(shared, count)
    if cuda.threadIdx.x == 0:
        loss[0] = total / max(count, float32(1.0))
        kept[0] = count


@device_kernel(
    "float32[:, ::1], int64[::1], int64, float32, float32, float32[::1], float32[::1], "
    "float32[::1], float32[:, ::1]"
)
def cross_entropy_gradient(
    logits: Any,
    targets: Any,
    ignore_index: int,
    smoothing: float,
    dy: float,
    top: Any,
    total: Any,
    kept: Any,
    dlogits: Any,
) -> None:
    """``dy (p - q) / N``, a block for each row; ignored rows are 0."""
    row, thread = cuda.blockIdx.x, cuda.threadIdx.x
    classes, target = logits.shape[1], targets[row]
    if target == ignore_index:
        for i in range(thread, classes, THREADS):
            dlogits[row, i] = float32(0.0)
        return
    factor = dy / kept[0]
    part, highest = factor / total[row], top[row]
    even = factor * smoothing / float32(classes)
    sure = factor * (float32(1.0) - smoothing)
    for i in range(thread, classes, THREADS):
        gradient = above(logits[row, i], highest) * part - even
        dlogits[row, i] = gradient - sure if i == target else gradient


@kernel("cuda", ops.cross_entropy_forward, cache=CrossEntropyCache)
def cross_entropy_forward(
    logits: Any, targets: Any, ignore_index: int = -100, label_smoothing: float = 0.0
) -> tuple[Array, CrossEntropyCache]:
    """The loss stays on the device until somebody asks for its value."""
    logits, targets = to_device(logits), to_device(targets).reshape(-1)
    rows = logits.reshape(targets.size, logits.shape[-1])
    top, total, surprise = (empty((targets.size,)) for _ in range(3))
    loss, kept = empty(()), empty((1,))
    given = (rows, targets, int(ignore_index), float(label_smoothing))
    cross_entropy_rows.launch(targets.size, THREADS, *given, top, total, surprise)
    mean_of_kept.launch(1, THREADS, surprise, targets, int(ignore_index), loss.reshape(1), kept)
    cache = CrossEntropyCache(
        rows, targets, top, total, kept, logits.shape, int(ignore_index), float(label_smoothing)
    )
    return loss, cache


@kernel("cuda", ops.cross_entropy_backward, cache=CrossEntropyCache)
def cross_entropy_backward(dy: Any, cache: CrossEntropyCache) -> tuple[Array]:
    """Read the logits and write the gradient: one walk."""
    logits, targets, top, total, kept, shape, ignore_index, smoothing = cache
    dlogits = empty(logits.shape)
    given = (logits, targets, ignore_index, smoothing, float(dy), top, total, kept)
    cross_entropy_gradient.launch(targets.size, THREADS, *given, dlogits)
    return (dlogits.reshape(shape),)
