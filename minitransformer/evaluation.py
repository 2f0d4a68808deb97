"""How well a language model predicts text that it was not trained on."""

import math
from collections.abc import Iterable
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
    total, count = 0.0, 0
    for batch in batches:
        with np.errstate(all="ignore"):  # the loss of a broken model is NaN, which tells enough
            loss, _ = model.loss(batch)
        total += float(loss) * batch.targets.size
        count += batch.targets.size
    if count == 0:
        raise ValueError("mean_loss: batches is empty, expected one batch or more")
    return total / count


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
        return math.exp(self.nats_per_token)


def surprise(nats_per_token: float, tokens: int, characters: int) -> Surprise:
    """Convert a loss, given how many tokens a text of so many characters has."""
    return Surprise(nats_per_token, nats_per_token * tokens / characters)
