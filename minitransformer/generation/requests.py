"""Is this a request that can be answered? Checked before a model runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.errors import InputError

Prompts = Sequence[int] | Sequence[Sequence[int]] | np.ndarray

EMPTY_PROMPT = "the prompt is empty, expected at least one token to continue"


def require_at_least(least: int, **counts: int) -> None:
    """Every count is ``least`` or more."""
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} is {count}, expected {least} or more")


def checked_prompts(prompts: Prompts, vocab_size: int) -> list[list[int]]:
    """Return one prompt or several as a list of prompts, all of them ids of the vocabulary."""
    if len(prompts) == 0:
        raise InputError(EMPTY_PROMPT)
    several: Any = [prompts] if np.ndim(prompts[0]) == 0 else prompts
    return [checked_ids(ids, vocab_size) for ids in several]


def checked_ids(prompt: Sequence[int] | np.ndarray, vocab_size: int) -> list[int]:
    """Return a prompt as a list of ids of the vocabulary, at least one."""
    ids = np.asarray(prompt)
    if ids.size == 0:
        raise InputError(EMPTY_PROMPT)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"the prompt is {prompt!r}, expected a list of token ids; encode the text")
    wrong = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    if wrong.size:
        raise IndexError(
            f"the prompt's id {ids[wrong[0]]} at position {wrong[0]} is not in the vocabulary, "
            f"expected 0 <= id < {vocab_size}; encode the prompt with the model's own tokenizer"
        )
    return [int(token) for token in ids]


def checked_stops(
    config: Any, eos_id: int | Sequence[int] | None, stop: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Return end tokens and stops as lists of ids, those that end a text if it ends with them."""
    if eos_id is None:
        eos_id = getattr(config, "eos_id", getattr(config, "end_id", None))
    ends = [eos_id] if isinstance(eos_id, int | np.integer) else eos_id or []
    return [[int(end)] for end in ends] + [_checked_stop(ids) for ids in stop]


def _checked_stop(ids: Any) -> list[int]:
    if np.ndim(ids) != 1 or len(ids) == 0 or not np.issubdtype(np.asarray(ids).dtype, np.integer):
        raise InputError(
            f"stop has {ids!r}, expected lists of token ids, none of them empty; to stop at a "
            "text, pass the decoded pieces through until_stop"
        )
    return [int(token) for token in ids]
