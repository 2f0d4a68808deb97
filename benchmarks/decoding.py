"""The task of decoding: continue a prompt, token by token, always with the most likely token."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from benchmarks.contestant import timed
from benchmarks.evidence import Array

PROMPT_LENGTH, NEW_TOKENS = 32, 97
VALIDATION_TOKENS = 16
LONG_PROMPT = 128
"""Tokens of the prompt before the first token that is timed."""


def prompt(vocab_size: int, length: int = PROMPT_LENGTH) -> list[int]:
    """Tokens to begin with."""
    return list(map(int, np.random.default_rng(2).integers(vocab_size, size=length)))


def first_tokens(continuation: Iterator[int]) -> Array:
    """As many tokens as are compared with the reference's."""
    return np.array(list(islice(continuation, VALIDATION_TOKENS)))


def seconds_per_token(continuation: Callable[[], Iterator[int]], tokens: int) -> list[float]:
    """Time each token of as many continuations as are needed, without the first of each.

    The first one also reads the prompt.
    """
    seconds: list[float] = []
    while len(seconds) < tokens:
        iterator = continuation()
        next(iterator)
        steps = min(tokens - len(seconds), NEW_TOKENS - 1)
        seconds += timed(lambda iterator=iterator: next(iterator), steps)  # type: ignore[misc]
    return seconds
