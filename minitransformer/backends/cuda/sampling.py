"""The choice of the next token, on the device: of all the logits only the tokens come home.

Greedy is a search for the largest. To draw, likely tokens are kept and one of them is hit by a
random number of the host, so that the same seed draws the same tokens wherever the logits are.

Nothing is sorted. "The k most likely" is a limit that k logits reach, and "the likely ones with
mass p" another; either is found by halving an interval until its ends are neighbours among the
float32, a sum over the row each time, some thirty in all. Probabilities and their sums are float64
as on the host, though in another order: the token is the host's unless the random number, or a mass
that is compared with p, lies within rounding, about 1e-14, of where the choice turns.

A penalty for repetition, and forbidden runs, need the text: the host says which tokens were seen
and which are banned, a byte for each of the vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numba import cuda, float32, float64

from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, DeviceArray, empty, to_device
from minitransformer.backends.cuda.kernel import THREADS, device_kernel
from minitransformer.backends.cuda.row_searches import (
    NOTHING,
    first_from,
    forbid_below,
    forbid_later_ties,
    hit,
    lowest_possible,
    lowest_with_less_above,
    sum_above,
    top_of,
)
from minitransformer.generation.processors import no_repeat_ngram
from minitransformer.generation.sampling import Sampling, choose_tokens, require_finite_top

_textbook: Callable[..., list[int]] = choose_tokens.impls["numpy"]

NO_NUMBER, TOO_LARGE, ALL_FORBIDDEN = -1, -2, -3
FAILURES = {NO_NUMBER: math.nan, TOO_LARGE: math.inf, ALL_FORBIDDEN: -math.inf}
"""What is returned instead of a token: what the largest logit is."""


@device_kernel(
    "float32[:, ::1], int64[::1], boolean[:, ::1], float32, boolean[:, ::1], float32, "
    "float32[:, ::1]"
)
def prepare_logits(
    logits: Any,
    rows: Any,
    seen: Any,
    penalty: float,
    banned: Any,
    temperature: float,
    scores: Any,
) -> None:
    """Copy a row for each text: seen tokens weakened, banned ones forbidden, by temperature.

    ``seen`` and ``banned`` have no rows where the text does not count.
    """
    V = scores.shape[1]
    for i in range(cuda.grid(1), scores.size, cuda.gridsize(1)):
        n, v = i // V, i % V
        score = logits[rows[n], v]
        if n < seen.shape[0] and seen[n, v]:
            score = score * penalty if score < float32(0.0) else score / penalty
        if n < banned.shape[0] and banned[n, v]:
            score = float32(NOTHING)
        scores[n, v] = score / temperature


@device_kernel(
    "float32[:, ::1], float64[:, ::1], boolean, int64, float64, float64, float64[::1], int64[::1]"
)
def choose(
    scores: Any,
    weights: Any,
    greedily: bool,
    top_k: int,
    top_p: float,
    min_p: float,
    shares: Any,
    tokens: Any,
) -> None:
    """Let each block choose the token of a text."""
    shared = cuda.shared.array(THREADS, float64)
    n, thread, V = cuda.blockIdx.x, cuda.threadIdx.x, scores.shape[1]
    top = top_of(shared, scores, n)
    if not float64(NOTHING) < top < float64(math.inf):
        if thread == 0:
            tokens[n] = NO_NUMBER if top != top else TOO_LARGE if top > 0.0 else ALL_FORBIDDEN
        return
    highest = float32(top)
    if greedily:
        token = first_from(shared, scores, n, 0, highest)
        if thread == 0:
            tokens[n] = token
        return
    low = lowest_possible(shared, scores, n)
    if 0 < top_k < V:
        for v in range(thread, V, THREADS):
            weights[n, v] = float64(1.0)
        cuda.syncthreads()
        # fewer than k are above the limit: the k-th reaches it
        low = lowest_with_less_above(shared, weights, scores, n, low, highest, float64(top_k))
    for v in range(thread, V, THREADS):
        score = scores[n, v]
        weights[n, v] = math.exp(float64(score) - top) if score >= low else float64(0.0)
    cuda.syncthreads()
    if top_p < 1.0:
        mass = top_p * sum_above(shared, weights, scores, n, float32(NOTHING))
        limit = highest
        if mass > 0.0:
            limit = lowest_with_less_above(shared, weights, scores, n, low, highest, mass)
        forbid_below(scores, weights, n, limit)
        above = sum_above(shared, weights, scores, n, limit)
        forbid_later_ties(shared, scores, weights, n, limit, above, mass)
    for v in range(thread, V, THREADS):
        if weights[n, v] < min_p:
            weights[n, v] = float64(0.0)
    cuda.syncthreads()
    token = hit(shared, weights, n, shares[n])
    if thread == 0:
        tokens[n] = token


@kernel("cuda", choose_tokens)
def choose_on_device(
    logits: Any,
    rows: Sequence[int],
    sampling: Sampling,
    texts: Sequence[Sequence[int]],
    rngs: Sequence[np.random.Generator],
) -> list[int]:
    """Choose where the logits are; eight bytes come home for each text."""
    if not isinstance(logits, DeviceArray) or type(sampling) is not Sampling:
        return _textbook(logits, rows, sampling, texts, rngs)
    shape = len(rows), logits.shape[1]
    scores, tokens = empty(shape), empty((len(rows),), np.int64)
    temperature = sampling.temperature if sampling.do_sample else 1.0
    size = sampling.no_repeat_ngram_size
    prepare_logits.stride(
        scores.size,
        logits,
        to_device(np.asarray(rows)),
        _marks(sampling.repetition_penalty != 1, partial(no_repeat_ngram, size=1), texts, shape[1]),
        sampling.repetition_penalty,
        _marks(size > 0, partial(no_repeat_ngram, size=size), texts, shape[1]),
        temperature,
        scores,
    )
    shares = empty((len(rows),), np.float64)
    shares.overwrite(np.array([rng.random() if sampling.do_sample else 0.0 for rng in rngs]))
    narrow = sampling.top_k, float(sampling.top_p), float(sampling.min_p)
    weights = empty(shape if sampling.do_sample else (0, 0), np.float64)
    choose.launch(
        len(rows), THREADS, scores, weights, not sampling.do_sample, *narrow, shares, tokens
    )
    chosen: list[int] = tokens.to_host().tolist()
    for token in chosen:
        if token in FAILURES:
            require_finite_top("generate", FAILURES[token])
    return chosen


def _marks(
    wanted: bool,
    forbid: Callable[[np.ndarray, Sequence[int]], np.ndarray],
    texts: Sequence[Sequence[int]],
    V: int,
) -> Array:
    """Say of every token of the vocabulary whether it would be forbidden, for each text."""
    if not wanted:
        return empty((0, V), bool)
    return to_device(np.isneginf([forbid(np.zeros(V), text) for text in texts]))
