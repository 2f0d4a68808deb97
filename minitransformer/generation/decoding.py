"""From a prompt to what follows it: the whole at once, or token by token."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from minitransformer.generation.beam_decoding import Beams, beam_decode
from minitransformer.generation.continuation import Continuation
from minitransformer.generation.reading import LanguageModel, Memory, Reader
from minitransformer.generation.requests import (
    Prompts,
    checked_ids,
    checked_prompts,
    checked_stops,
    require_at_least,
)
from minitransformer.generation.sampling import Sampling
from minitransformer.generation.writing import Draft, write, write_all


def stream(
    model: LanguageModel | Any,
    prompt: Sequence[int] | np.ndarray,
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    eos_id: int | Sequence[int] | None = None,
    stop: Sequence[Sequence[int]] = (),
    seed: int = 0,
    memory: Memory | None = None,
) -> Iterator[int]:
    """Continue one prompt, token by token: what :func:`generate` returns, as it is written.

    Parameters
    ----------
    prompt
        Token ids, at least one.
    model, max_new_tokens, eos_id, stop, seed, ...
        As for :func:`generate`.
    memory
        Of this model; what it holds of the prompt is not read again. One stream uses it at a time.

    Yields
    ------
    int
        Ids of new tokens, each as soon as it is chosen; one that may belong to a stop is held back
        until it is known that it does not.

    Raises
    ------
    InputError, IndexError, ValueError
        As :func:`generate`, before anything is computed.
    """
    sampling = Sampling(
        do_sample, temperature, top_k, top_p, min_p, repetition_penalty, no_repeat_ngram_size
    )
    require_at_least(0, max_new_tokens=max_new_tokens, seed=seed)
    ids = checked_ids(prompt, model.config.vocab_size)
    draft = Draft(0, np.random.default_rng([seed, 0]), checked_stops(model.config, eos_id, stop))
    reader = Reader(model, [ids]) if memory is None else memory.turn_to(ids)
    return _stream(reader, draft, sampling, max_new_tokens)


def _stream(reader: Reader, draft: Draft, sampling: Sampling, limit: int) -> Iterator[int]:
    passed_on = 0
    for _ in write(reader, [draft], sampling, limit):
        yield from draft.tokens[passed_on : draft.certain]
        passed_on = draft.certain
    yield from draft.tokens[passed_on:]


def generate(
    model: LanguageModel | Any,
    prompts: Prompts,
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
    num_return_sequences: int = 1,
    eos_id: int | Sequence[int] | None = None,
    stop: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> list[Continuation]:
    """Continue one prompt or several, each as often as asked for.

    Parameters
    ----------
    model
        A language model; or an encoder-decoder, whose prompts are the sources: it writes what its
        decoder says about them.
    prompts
        Token ids of one prompt, or a list of prompts. Each gives what it gives alone.
    max_new_tokens
        Number of tokens after which generation ends at the latest, the end token included.
    do_sample, temperature, top_k, top_p, min_p, repetition_penalty, no_repeat_ngram_size
        How the next token is chosen, see :class:`Sampling`. Tokens seen are those of the prompt
        and the new ones; those of an encoder-decoder, what its decoder has read.
    num_beams, length_penalty, early_stopping
        Beam search, see :class:`Beams`; one beam is none.
    num_return_sequences
        Continuations of each prompt; with beams, the best so many.
    eos_id
        Token that ends the text and is left out, or several such tokens; None: the model's own,
        ``model.config.eos_id`` or ``end_id``, if it has one. ``()``: there is none.
    stop
        Runs of tokens that end the text as well, and are left out.
    seed
        Sequence i of every prompt is drawn from a random stream of its own, given by (seed, i): a
        prompt's continuations do not depend on the other prompts.

    Returns
    -------
    list of lists of ids
        The new tokens, one list for each prompt and sequence: all sequences of the first prompt,
        then those of the second. Each is a :class:`Continuation`, which also
        says whether it was finished, whether the window slid, and what a beam scored.

    Raises
    ------
    InputError
        If there is no prompt, or an empty one, or a stop is not a list of ids.
    IndexError
        If a prompt holds an id outside the vocabulary.
    ValueError
        If another argument is out of range, or the model finds no token possible.

    Notes
    -----
    When prompt and new tokens outgrow the model's context, the window slides: the oldest tokens are
    dropped, one per new token. Positions belong to places in the window, which move with it, so
    that from then on the whole window is read again for every token.

    Of each beam in turn, the most likely ``2 num_beams`` continuations are candidates, where there
    is one end token; those that end are finished if they are among the first ``num_beams``, and the
    best that do not end are the next beams. At ``max_new_tokens`` unfinished beams compete too.

    References
    ----------
    Wolf et al. (2020), Transformers: State-of-the-Art Natural Language Processing, section 3,
    whose ``generate`` has the same arguments.
    """
    sampling = Sampling(
        do_sample, temperature, top_k, top_p, min_p, repetition_penalty, no_repeat_ngram_size
    )
    beams = Beams(num_beams, length_penalty, early_stopping)
    require_at_least(0, max_new_tokens=max_new_tokens, seed=seed)
    require_at_least(1, num_return_sequences=num_return_sequences)
    if 1 < num_beams < num_return_sequences:
        raise ValueError(
            f"num_return_sequences is {num_return_sequences} and num_beams {num_beams}, expected "
            "at least as many beams"
        )
    stops = checked_stops(model.config, eos_id, stop)
    checked = checked_prompts(prompts, model.config.vocab_size)
    if num_beams == 1 or max_new_tokens == 0:
        seeds = [(seed, i) for i in range(num_return_sequences)]
        return write_all(Reader(model, checked), sampling, max_new_tokens, stops, seeds)
    return [
        continuation
        for prompt in checked
        for continuation in beam_decode(
            Reader(model, [prompt]),
            sampling,
            beams,
            max_new_tokens,
            stops,
            np.random.default_rng([seed, 0]),
        )[:num_return_sequences]
    ]
