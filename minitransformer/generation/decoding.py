"""Token by token: a model reads what there is, one token is chosen, and the model reads that."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from minitransformer.errors import InputError
from minitransformer.generation.sampling import Sampling

EMPTY_PROMPT = "the prompt is empty, expected at least one token to continue"


class LanguageModel(Protocol):
    """What generation asks of a model."""

    @property
    def config(self) -> Any:
        """With at least ``vocab_size`` and ``context``."""

    def new_kv(self, batch: int) -> Any:
        """Empty memory for keys and values, whose ``length`` says how many tokens it holds."""

    def __call__(self, ids: np.ndarray, *, kv: Any = None) -> tuple[np.ndarray, Any]:
        """Logits (B, T, V) for ids (B, T), which follow those that ``kv`` holds; and a cache."""


def stream(
    model: LanguageModel,
    prompt: Sequence[int] | np.ndarray,
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    eos_id: int | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Continue one prompt, token by token.

    Parameters
    ----------
    model
        Reads each token once: the keys and values of earlier ones are kept.
    prompt
        Token ids, at least one.
    max_new_tokens
        Number of tokens after which generation ends at the latest.
    do_sample, temperature, top_k, top_p, repetition_penalty
        As in :class:`Sampling`.
    eos_id
        Token that ends the text; it is not yielded.
    seed
        Tokens drawn with equal seeds are equal.

    Yields
    ------
    int
        Ids of new tokens, each as soon as it is chosen.

    Raises
    ------
    InputError
        If the prompt is empty.
    IndexError
        If the prompt holds an id outside the vocabulary.
    ValueError
        If another argument is out of range.

    Notes
    -----
    When prompt and new tokens outgrow the model's context, the window slides: the oldest tokens are
    dropped, one per new token. Learned positions belong to places in the window, which move with
    it, so that from then on the whole window is read again for every token.
    """
    sampling = Sampling(do_sample, temperature, top_k, top_p, repetition_penalty)
    _require_at_least(0, max_new_tokens=max_new_tokens, seed=seed)
    ids = _checked_ids(prompt, model.config.vocab_size)
    rng = np.random.default_rng([seed, 0])
    return _continuation(model, ids, sampling, max_new_tokens, eos_id, rng)


def generate(
    model: LanguageModel,
    prompts: Sequence[int] | Sequence[Sequence[int]] | np.ndarray,
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    num_return_sequences: int = 1,
    eos_id: int | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """Continue one prompt or several, each as often as asked for.

    Parameters
    ----------
    model, max_new_tokens, do_sample, temperature, top_k, top_p, repetition_penalty, eos_id
        As in :func:`stream`.
    prompts
        Token ids of one prompt, or a list of prompts.
    num_return_sequences
        Continuations of each prompt.
    seed
        Sequence i of every prompt is drawn from a random stream of its own, given by (seed, i): a
        prompt's continuations do not depend on the other prompts.

    Returns
    -------
    list of lists of ids
        The new tokens without the end token, one list for each prompt and sequence: all sequences
        of the first prompt, then those of the second.

    Raises
    ------
    InputError
        If there is no prompt, or an empty one.
    IndexError
        If a prompt holds an id outside the vocabulary.
    ValueError
        If another argument is out of range.
    """
    sampling = Sampling(do_sample, temperature, top_k, top_p, repetition_penalty)
    _require_at_least(0, max_new_tokens=max_new_tokens, seed=seed)
    _require_at_least(1, num_return_sequences=num_return_sequences)
    checked = [_checked_ids(ids, model.config.vocab_size) for ids in _as_several(prompts)]
    return [
        list(_continuation(model, ids, sampling, max_new_tokens, eos_id, rng))
        for ids in checked
        for rng in (np.random.default_rng([seed, i]) for i in range(num_return_sequences))
    ]


def _continuation(
    model: LanguageModel,
    prompt: Sequence[int],
    sampling: Sampling,
    max_new_tokens: int,
    eos_id: int | None,
    rng: np.random.Generator,
) -> Iterator[int]:
    ids = list(prompt)
    kv = model.new_kv(1)
    context = model.config.context
    for _ in range(max_new_tokens):
        fits = len(ids) <= context
        window = ids[kv.length :] if fits else ids[-context:]
        logits, _ = model(np.array([window]), kv=kv if fits else None)
        token = sampling.choose(logits[0, -1], ids, rng)
        if token == eos_id:
            return
        yield token
        ids.append(token)


def _require_at_least(least: int, **counts: int) -> None:
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} is {count}, expected {least} or more")


def _as_several(
    prompts: Sequence[int] | Sequence[Sequence[int]] | np.ndarray,
) -> Sequence[Any] | np.ndarray:
    if len(prompts) == 0:
        raise InputError(EMPTY_PROMPT)
    return [prompts] if np.ndim(prompts[0]) == 0 else prompts


def _checked_ids(prompt: Sequence[int] | np.ndarray, vocab_size: int) -> list[int]:
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
