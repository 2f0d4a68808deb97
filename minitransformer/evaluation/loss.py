"""How well a model predicts tokens that it was not trained on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minitransformer.data import AnyBatch, count_targets, split_batch
from minitransformer.data.batches import B
from minitransformer.distributed import Communicator, LocalComm
from minitransformer.evaluation.outcomes import Outcomes
from minitransformer.models import Model
from minitransformer.tokenizers import BPETokenizer, Tokenizer


def mean_loss(model: Model, batches: Iterable[AnyBatch], comm: Communicator | None = None) -> float:
    """Mean loss over batches, without dropout.

    Parameters
    ----------
    model
        Any model.
    batches
        One or more; each weighs by its number of targets.
    comm
        Ranks that have other batches: the mean is over all of them, and the same on all ranks.

    Returns
    -------
    float
        Nats per token.

    Raises
    ------
    ValueError
        If nothing is asked in any batch.
    """
    sums = np.zeros(2)  # of nats, and of targets
    for batch in batches:
        count = count_targets(batch)
        sums += _loss(model, batch) * count, count
    (comm or LocalComm()).all_reduce(sums)
    nats, targets = sums
    if not targets:
        raise ValueError(
            "mean_loss: there is no batch, or nothing asked in any, expected one target or more"
        )
    return float(nats / targets)


def _loss(model: Model, batch: AnyBatch) -> float:
    with np.errstate(all="ignore"):  # the loss of a broken model is NaN, which tells enough
        return float(model.loss(batch)[0])


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


class Losses(Outcomes):
    """The loss of every sequence.

    Parameters
    ----------
    nats : (N,)
        Mean loss of each sequence, per token.
    tokens : (N,)
        Number of tokens in each of these means.
    sizes : (N,), optional
        Bytes of UTF-8 that these tokens stand for. Bits per byte can then be told, which
        is comparable between tokenizers.
    groups
        What each sequence belongs to, such as its language.
    """

    def __init__(
        self,
        nats: Sequence[float] | np.ndarray,
        tokens: Sequence[int] | np.ndarray,
        sizes: Sequence[int] | np.ndarray | None = None,
        *,
        groups: Sequence[str] = (),
    ) -> None:
        self.nats = np.asarray(nats, np.float64)
        self.tokens = np.asarray(tokens)
        self.sizes = None if sizes is None else np.asarray(sizes)
        self.groups = list(groups)

    def __len__(self) -> int:
        return len(self.nats)

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        nats, tokens = self.nats[rows], self.tokens[rows]
        mean = float(nats @ tokens / tokens.sum())
        found = {"loss": mean, "perplexity": _exp(mean)}
        if self.sizes is not None:
            bits = mean * tokens.sum() / math.log(2.0)
            found["bits per byte"] = float(bits / self.sizes[rows].sum())
        return found


def losses(model: Model, batches: Iterable[B], tokenizer: Tokenizer | None = None) -> Losses:
    """The loss of every sequence, without dropout.

    Parameters
    ----------
    model
        Any model.
    batches
        Any; sequences in which nothing is asked are left out.
    tokenizer
        Tells how many bytes the targets stand for, if they are tokens that make up a text.
    """
    rows = [
        row
        for batch in batches
        for row in split_batch(batch, len(batch.inputs))
        if count_targets(row)
    ]
    return Losses(
        [_loss(model, row) for row in rows],
        [count_targets(row) for row in rows],
        None if tokenizer is None else [_size(row, tokenizer) for row in rows],
    )


def losses_by_group(
    model: Model, batches: Mapping[str, Iterable[B]], tokenizer: Tokenizer | None = None
) -> Losses:
    """:func:`losses` of batches by group, such as by language."""
    found = {group: losses(model, each, tokenizer) for group, each in batches.items()}
    return Losses(
        np.concatenate([each.nats for each in found.values()]),
        np.concatenate([each.tokens for each in found.values()]),
        None if tokenizer is None else np.concatenate([e.sizes for e in found.values()]),
        groups=[group for group, each in found.items() for _ in range(len(each))],
    )


def _size(batch: AnyBatch, tokenizer: Tokenizer) -> int:
    """Bytes that the targets stand for; a token of a BPE may be part of a character."""
    ids = batch.targets[batch.targets >= 0].tolist()
    if isinstance(tokenizer, BPETokenizer):
        return len(tokenizer.decode_bytes(ids))
    return len(tokenizer.decode(ids).encode())
