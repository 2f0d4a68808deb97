"""Texts written side by side, one token each at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from minitransformer.generation.continuation import Continuation
from minitransformer.generation.reading import Reader
from minitransformer.generation.sampling import Sampling, choose_tokens
from minitransformer.generation.stopping import held_back, without_stop


class Draft:
    """A text in the course of being written.

    Parameters
    ----------
    prompt
        The row of the prompt.
    rng
        Draws its tokens.
    stops
        Tokens that end it.

    Attributes
    ----------
    tokens : list of ids
        The text, without the stop that ended it.
    written : int
        Number of tokens, with it.
    finished : bool
        Whether a stop was reached.
    """

    def __init__(self, prompt: int, rng: np.random.Generator, stops: Sequence[list[int]]) -> None:
        self.prompt = prompt
        self.rng = rng
        self.stops = stops
        self.tokens: list[int] = []
        self.written = 0
        self.finished = False

    @property
    def certain(self) -> int:
        """Number of tokens that are no part of a stop, whatever comes next."""
        if self.finished:
            return len(self.tokens)
        return len(self.tokens) - held_back(self.tokens, self.stops)

    def push(self, token: int) -> None:
        """Add a token; a stop that this completes ends the text and is left out."""
        self.written += 1
        self.tokens, self.finished = without_stop([*self.tokens, token], self.stops)


def write(
    reader: Reader, drafts: Sequence[Draft], sampling: Sampling, limit: int
) -> Iterator[None]:
    """Write all drafts on until they are finished, or hold ``limit`` tokens.

    Each draft begins as a copy of its prompt's row; the prompts are read once.

    Yields
    ------
    None
        Whenever each draft that is not finished has got another token.
    """
    going_on = [(draft.prompt, draft) for draft in drafts]  # rows of the reader
    for written in range(1, limit + 1):
        rows = [row for row, _ in going_on]
        texts, rngs = [reader.rows[row] for row in rows], [draft.rng for _, draft in going_on]
        tokens = choose_tokens(reader.logits(), rows, sampling, texts, rngs)
        for token, (_, draft) in zip(tokens, going_on, strict=True):
            draft.push(token)
        yield
        going_on = [(row, draft) for row, draft in going_on if not draft.finished]
        if not going_on or written == limit:
            return
        reader.advance([row for row, _ in going_on], [draft.tokens[-1] for _, draft in going_on])
        going_on = [(row, draft) for row, (_, draft) in enumerate(going_on)]


def write_all(
    reader: Reader,
    sampling: Sampling,
    limit: int,
    stops: Sequence[list[int]],
    seeds: Sequence[Sequence[int]],
) -> list[Continuation]:
    """Write one text for each of the reader's prompts and each seed, prompt by prompt."""
    lengths = [len(row) for row in reader.rows]
    drafts = [
        Draft(prompt, np.random.default_rng(seed), stops)
        for prompt in range(len(lengths))
        for seed in seeds
    ]
    for _ in write(reader, drafts, sampling, limit):
        pass
    return [
        Continuation(
            draft.tokens,
            draft.finished,
            slid=reader.has_slid(lengths[draft.prompt] + draft.written),
        )
        for draft in drafts
    ]
