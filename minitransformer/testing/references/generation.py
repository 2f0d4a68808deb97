# ruff: noqa: D103 (the library documents them under the same names)
"""Processors of logits and beam search once more, token by token.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from minitransformer.testing.references.state import Array


def _by_rows(function: Callable[[list[float]], list[float]], logits: Array) -> Array:
    rows = [function(logits[n].tolist()) for n in np.ndindex(logits.shape[:-1])]
    return np.array(rows).reshape(logits.shape)


def apply_temperature(logits: Array, temperature: float) -> Array:
    return _by_rows(lambda row: [x / temperature for x in row], logits)


def repetition_penalty(logits: Array, ids: Sequence[int] | Array, penalty: float) -> Array:
    penalized = logits.copy()
    seen = np.broadcast_to(np.array(ids, int), (*logits.shape[:-1], np.shape(ids)[-1]))
    for n in np.ndindex(logits.shape[:-1]):
        for token in {int(token) for token in seen[n]}:
            factor = penalty if logits[*n, token] < 0 else 1 / penalty
            penalized[*n, token] = logits[*n, token] * factor
    return penalized


def top_k(logits: Array, k: int) -> Array:
    def keep(row: list[float]) -> list[float]:
        above = [sum(other > x for other in row) for x in row]
        return [x if k == 0 or n < k else -math.inf for x, n in zip(row, above, strict=True)]

    return _by_rows(keep, logits)


def top_p(logits: Array, p: float) -> Array:
    def keep(row: list[float]) -> list[float]:
        weights = [math.exp(x - max(row)) for x in row]
        kept = [-math.inf] * len(row)
        mass = 0.0
        for token in sorted(range(len(row)), key=lambda token: (-row[token], token)):
            if mass == 0.0 or mass < p or p == 1:
                kept[token] = row[token]
            mass += weights[token] / math.fsum(weights)
        return kept

    return _by_rows(keep, logits)


def min_p(logits: Array, p: float) -> Array:
    def keep(row: list[float]) -> list[float]:
        ratios = [math.exp(x - max(row)) for x in row]
        return [x if ratio >= p else -math.inf for x, ratio in zip(row, ratios, strict=True)]

    return _by_rows(keep, logits)


def no_repeat_ngram(logits: Array, ids: Sequence[int] | Array, size: int) -> Array:
    allowed = logits.copy()
    seen = np.broadcast_to(np.array(ids, int), (*logits.shape[:-1], np.shape(ids)[-1]))
    for n in np.ndindex(logits.shape[:-1]):
        text = seen[n].tolist()
        runs = [tuple(text[i : i + size]) for i in range(len(text) - size + 1)]
        for token in range(logits.shape[-1]):
            if size and (*text, token)[-size:] in runs:
                allowed[*n, token] = -math.inf
    return allowed


def greedy(logits: Array) -> int:
    row = logits.tolist()
    return int(row.index(max(row)))


def beam_search(
    step: Callable[[list[int]], Array],
    start: int | list[int],
    end: int | None,
    width: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> tuple[list[int], float]:
    """The same search, but it never stops early."""
    prefix = [start] if isinstance(start, int) else start
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    for _ in range(max_length):
        candidates = [
            (total + log_probability, [*tokens, token])
            for total, tokens in beams
            for token, log_probability in enumerate(step([*prefix, *tokens]).tolist())
            if log_probability > -math.inf
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        finished += [c for c in candidates[:width] if c[1][-1] == end]
        beams = [c for c in candidates[: 2 * width] if c[1][-1] != end][:width]
    scored = [(total / len(t) ** length_penalty, t) for total, t in (*finished, *beams)]
    score, tokens = max(scored, key=lambda hypothesis: hypothesis[0])
    return tokens, score
