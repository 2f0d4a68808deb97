"""Searches in a row of scores, by all threads of a block together: each sees what is found.

A row belongs to one text. ``shared`` is shared memory for a number of each thread.
"""

import math
from typing import Any

from numba import cuda, float32, float64

from minitransformer.backends.cuda.kernel import THREADS, device_function
from minitransformer.backends.cuda.reductions import block_max_by_halves, block_sum_by_halves

NOTHING = -math.inf


@device_function
def top_of(shared: Any, scores: Any, n: int) -> Any:
    """Find the largest score of a row; NaN if there is a NaN."""
    top, invalid = float64(NOTHING), float64(0.0)
    for v in range(cuda.threadIdx.x, scores.shape[1], THREADS):
        score = float64(scores[n, v])
        if score != score:
            invalid = float64(1.0)
        else:
            top = max(top, score)
    top = block_max_by_halves(shared, top)
    return float64(math.nan) if block_max_by_halves(shared, invalid) > 0.0 else top


@device_function
def first_from(shared: Any, scores: Any, n: int, start: int, score: Any) -> Any:
    """Find the first token from ``start`` on that has this score; V if there is none."""
    first = scores.shape[1]
    for v in range(start + cuda.threadIdx.x, scores.shape[1], THREADS):
        if scores[n, v] == score:
            first = min(first, v)
    return int(-block_max_by_halves(shared, float64(-first)))


@device_function
def sum_above(shared: Any, weights: Any, scores: Any, n: int, limit: Any) -> Any:
    """Sum the weights of all scores above a limit."""
    total = float64(0.0)
    for v in range(cuda.threadIdx.x, scores.shape[1], THREADS):
        if scores[n, v] > limit:
            total += weights[n, v]
    return block_sum_by_halves(shared, total)


@device_function
def lowest_with_less_above(
    shared: Any, weights: Any, scores: Any, n: int, low: Any, high: Any, mass: Any
) -> Any:
    """Find the lowest score, from ``low`` to ``high``, above which there is less than a mass.

    There is less above ``high``. All threads see the same sums and halve the same interval.
    """
    if sum_above(shared, weights, scores, n, low) < mass:
        return low
    middle = float32(0.5) * low + float32(0.5) * high
    while low < middle < high:
        if sum_above(shared, weights, scores, n, middle) < mass:
            high = middle
        else:
            low = middle
        middle = float32(0.5) * low + float32(0.5) * high
    return high


@device_function
def lowest_possible(shared: Any, scores: Any, n: int) -> Any:
    """Find the lowest score that is not forbidden."""
    low = float64(NOTHING)
    for v in range(cuda.threadIdx.x, scores.shape[1], THREADS):
        if scores[n, v] > float32(NOTHING):
            low = max(low, -float64(scores[n, v]))
    return float32(-block_max_by_halves(shared, low))


@device_function
def forbid_below(scores: Any, weights: Any, n: int, limit: Any) -> None:
    """Leave no weight to scores below a limit."""
    for v in range(cuda.threadIdx.x, scores.shape[1], THREADS):
        if scores[n, v] < limit:
            weights[n, v] = float64(0.0)
    cuda.syncthreads()


@device_function
def forbid_later_ties(
    shared: Any, scores: Any, weights: Any, n: int, limit: Any, above: Any, mass: Any
) -> None:
    """Of scores that tie at a limit keep the first ones, until they and what is above have a mass.

    Each thread looks at a stretch of neighbours, and how many ties there are in those before it.
    """
    V, thread = weights.shape[1], cuda.threadIdx.x
    stretch = (V + THREADS - 1) // THREADS
    start, stop = min(thread * stretch, V), min((thread + 1) * stretch, V)
    own = float64(0.0)
    for v in range(start, stop):
        if scores[n, v] == limit:
            own += float64(1.0)
    shared[thread] = own
    cuda.syncthreads()
    rank = float64(0.0)
    for other in range(thread):
        rank += shared[other]
    for v in range(start, stop):
        if scores[n, v] == limit:
            before = above + rank * weights[n, v]
            if before >= mass and before > 0.0:
                weights[n, v] = float64(0.0)
            rank += float64(1.0)
    cuda.syncthreads()


@device_function
def hit(shared: Any, weights: Any, n: int, share: float) -> Any:
    """Lay the weights end to end; find the one on which this share of their sum falls.

    Each thread adds up a stretch of neighbours. The one in whose stretch it is looks closer.
    """
    V, thread = weights.shape[1], cuda.threadIdx.x
    stretch = (V + THREADS - 1) // THREADS
    start, stop = min(thread * stretch, V), min((thread + 1) * stretch, V)
    own = float64(0.0)
    for v in range(start, stop):
        own += weights[n, v]
    shared[thread] = own
    cuda.syncthreads()
    before, total = float64(0.0), float64(0.0)
    for other in range(THREADS):
        if other < thread:
            before += shared[other]
        total += shared[other]
    cuda.syncthreads()
    place, last = -1, -1
    for v in range(start, stop):
        if weights[n, v] > 0.0:
            last = v
            before += weights[n, v]
            if place < 0 and before > share * total:
                place = v
    # where rounding leaves it beyond the last end, it is the last that can be drawn
    first = -block_max_by_halves(shared, float64(-place) if place >= 0 else float64(NOTHING))
    last = int(block_max_by_halves(shared, float64(last)))
    return int(first) if first < float64(V) else last
