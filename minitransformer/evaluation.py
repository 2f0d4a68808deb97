"""How well a language model predicts text that it was not trained on."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from minitransformer.data import Batch
from minitransformer.models import Model


def mean_loss(model: Model, batches: Iterable[Batch]) -> float:
    """Mean loss over batches, without dropout.

    Parameters
    ----------
    model
        Any model.
    batches
        One or more; each weighs by its number of targets.

    Returns
    -------
    float
        Nats per token.

    Raises
    ------
    ValueError
        If there is no batch.
    """
    losses, counts = [], []
    for batch in batches:
        with np.errstate(all="ignore"):  # the loss of a broken model is NaN, which tells enough
            loss, _ = model.loss(batch)
        losses.append(float(loss))
        counts.append(batch.targets.size)
    if not counts:
        raise ValueError("mean_loss: batches is empty, expected one batch or more")
    return _mean_over_tokens(losses, counts)


def perplexity(losses: Sequence[float], counts: Sequence[int]) -> float:
    """Number of equally likely tokens that would be as hard to guess as these were.

    Parameters
    ----------
    losses
        Mean loss of each batch, in nats per token.
    counts
        Number of tokens in each of these means.

    Returns
    -------
    float
        ``exp(sum(count loss) / sum(count))``: the mean is taken over tokens and before exp, since
        exp of a mean is not the mean of exps. Infinite beyond the largest float.

    Raises
    ------
    ValueError
        If there is not one count for each loss, or no token at all.
    """
    if len(losses) != len(counts) or sum(counts) <= 0:
        raise ValueError(
            f"perplexity: got {len(losses)} losses and {len(counts)} counts of {sum(counts)} "
            "tokens, expected a count for each loss and one token or more"
        )
    return _exp(_mean_over_tokens(losses, counts))


def _mean_over_tokens(losses: Sequence[float], counts: Sequence[int]) -> float:
    total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
    return total / sum(counts)


def _exp(nats: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(nats))


class Surprise(NamedTuple):
    """A loss in the units in which people compare models."""

    nats_per_token: float
    nats_per_character: float

    @property
    def bits_per_token(self) -> float:
        return self.nats_per_token / math.log(2.0)

    @property
    def bits_per_character(self) -> float:
        """Comparable between tokenizers, as nats and bits per token are not."""
        return self.nats_per_character / math.log(2.0)

    @property
    def perplexity(self) -> float:
        """Number of equally likely tokens that would be as hard to guess."""
        return _exp(self.nats_per_token)


def surprise(nats_per_token: float, tokens: int, characters: int) -> Surprise:
    """Convert a loss, given how many tokens a text of so many characters has."""
    return Surprise(nats_per_token, nats_per_token * tokens / characters)
