"""What to learn from a text without labels: one batch function for each way to ask.

All take windows of the same token files, as :func:`minitransformer.data.sample_batch` draws them.
Predicting the next token needs nothing more; the others hide something first.
"""

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from minitransformer.data.batches import IGNORE, Batch, EncoderBatch, PairBatch
from minitransformer.data.corruption import draw_masked_tokens
from minitransformer.errors import InputError

STREAM = 0xC0AA
"""Keeps what is hidden apart from other random numbers of the same seed and step."""


def objective_rng(seed: int, step: int) -> np.random.Generator:
    """What draws the hidden tokens of one training step: the same two numbers, the same ones."""
    return np.random.default_rng([STREAM, seed, step])


def masked_lm_batch(
    windows: Integer[np.ndarray, "B T"],
    rng: np.random.Generator,
    mask_id: int,
    vocab_size: int,
    probability: float = 0.15,
    words: Integer[np.ndarray, "B T"] | None = None,
    span_length: float = 1.0,
) -> EncoderBatch:
    """Hide some tokens, and ask for them: BERT's objective.

    Parameters
    ----------
    windows : (B, T)
        The text.
    rng, mask_id, vocab_size, probability, words, span_length
        As for :func:`minitransformer.data.draw_masked_tokens`.

    Returns
    -------
    EncoderBatch
        Inputs and targets, (B, T) each.

    References
    ----------
    Devlin et al. (2018), BERT, arXiv:1810.04805.
    """
    masked = draw_masked_tokens(
        windows, rng, mask_id, vocab_size, probability, words=words, span_length=span_length
    )
    B, T = windows.shape
    return EncoderBatch(masked.inputs, np.full(B, T), masked.targets)


def prefix_lm_batch(batch: Batch, rng: np.random.Generator) -> Batch:
    """Let the beginning be read in both directions, and ask for what follows it only.

    Parameters
    ----------
    batch
        For a causal language model, inputs and targets (B, T), T at least 2.
    rng
        Draws how much of each row is read in both directions: from 1 to T - 1 tokens.

    Returns
    -------
    Batch
        With a mask (B, 1, T, T); nothing is asked inside of the prefix, where the next token can
        be seen.

    References
    ----------
    Liu et al. (2018), Generating Wikipedia by Summarizing Long Sequences, arXiv:1801.10198;
    Raffel et al. (2019), T5, section 3.2.1, arXiv:1910.10683.
    """
    B, T = batch.inputs.shape
    _require_length("prefix_lm_batch", T, 2)
    prefix = rng.integers(1, T, size=(B, 1))
    places = np.arange(T)
    seen = places < prefix
    mask = np.tri(T, dtype=np.bool_) | seen[:, None, None, :]
    # the last token of the prefix is asked for the first one behind it
    return Batch(batch.inputs, np.where(places < prefix - 1, IGNORE, batch.targets), mask)


def span_corruption_batch(
    windows: Integer[np.ndarray, "B T"],
    rng: np.random.Generator,
    first_sentinel: int,
    start_id: int,
    end_id: int,
    probability: float = 0.15,
    span_length: float = 3.0,
) -> PairBatch:
    """Replace spans by sentinels, and ask for what each sentinel stands for: T5's objective.

    Parameters
    ----------
    windows : (B, T)
        The text, T at least 2.
    rng
        Draws where the spans are.
    first_sentinel
        The first span of a row becomes this id, the second the next one, and so on; there are
        :func:`span_count` of them.
    start_id, end_id
        What the decoder reads first, and is asked for last.
    probability
        Share of the tokens that are hidden, above 0 and below 1.
    span_length
        Mean length of a span, 1 or more.

    Returns
    -------
    PairBatch
        ``Thank you <0> me to <1> week`` as the source, ``<0> for inviting <1> your party last
        <end>`` as the target. All rows are of equal length.

    Raises
    ------
    InputError
        If a number is out of range.

    References
    ----------
    Raffel et al. (2019), T5, section 3.1.4, arXiv:1910.10683.
    """
    B, T = windows.shape
    hidden, spans = _hidden_and_spans(T, probability, span_length)
    begins, inside = _draw_spans(rng, B, T, hidden, spans)
    sentinels = first_sentinel - 1 + np.cumsum(begins, axis=1)
    tokens = windows.astype(np.int64)
    rows = np.arange(B)[:, None]

    # a sentinel stands where its span begins: in its place in the source, before it in the target
    sources = np.where(begins, sentinels, tokens)[begins | ~inside].reshape(B, -1)
    pairs = np.stack([sentinels, tokens], axis=-1)
    kept = np.stack([begins, inside], axis=-1)
    targets = pairs[kept].reshape(B, -1)

    end, start = np.full((B, 1), end_id), np.full((B, 1), start_id)
    targets = np.concatenate([targets, end], axis=1)
    inputs = np.concatenate([start, targets[:, :-1]], axis=1)
    return PairBatch(sources, np.full(len(rows), sources.shape[1]), inputs, targets)


def span_count(T: int, probability: float = 0.15, span_length: float = 3.0) -> int:
    """Number of sentinels that :func:`span_corruption_batch` needs for T tokens."""
    return _hidden_and_spans(T, probability, span_length)[1]


def _hidden_and_spans(T: int, probability: float, span_length: float) -> tuple[int, int]:
    _require_length("span_corruption_batch", T, 2)
    if not 0 < probability < 1 or not span_length >= 1:
        raise InputError(
            f"probability is {probability} and span_length {span_length}, expected "
            "0 < probability < 1 and span_length >= 1"
        )
    hidden = min(max(round(T * probability), 1), T - 1)
    spans = max(round(hidden / span_length), 1)
    return hidden, min(spans, T - hidden)


def _draw_spans(
    rng: np.random.Generator, B: int, T: int, hidden: int, spans: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where spans begin, and which tokens are in one; a kept token or more before each."""
    begins = np.zeros((B, T), np.bool_)
    inside = np.zeros((B, T), np.bool_)
    for row in range(B):
        lengths = np.zeros(2 * spans + 1, np.int64)
        lengths[::2] = _partition(rng, T - hidden + 1, spans + 1)
        lengths[-1] -= 1  # behind the last span there may be nothing
        lengths[1::2] = _partition(rng, hidden, spans)
        inside[row] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        begins[row, np.cumsum(lengths)[:-1:2]] = True
    return begins, inside


def _partition(rng: np.random.Generator, total: int, parts: int) -> NDArray[np.int64]:
    """Random lengths of 1 or more that add up to the total."""
    borders = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(borders, prepend=0, append=total)


def _require_length(name: str, T: int, least: int) -> None:
    if least > T:
        raise InputError(f"{name}: the windows have {T} tokens, expected {least} or more")
