"""What heads are made of: from the vectors of a trunk to scores, and from scores to a loss."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import IGNORE, EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models.pooling import Pooler, Pooling
from minitransformer.nn import Dropout, Linear, Module


class HeadCache(NamedTuple):
    """What a head's backward needs."""

    pooler: Any
    dropout: Any
    output: Any
    shape: Any = None


class Head(Module):
    """Scores from the vectors of a trunk, and the loss that trains them.

    Parameters
    ----------
    width
        Features C of the trunk.
    outputs
        Number of scores K.
    rng
        Draws the weights.
    pooling
        Of the heads that read the whole sequence.
    dropout
        Probability of dropping an element of what is scored.
    """

    bias = True

    def __init__(
        self,
        width: int,
        outputs: int,
        rng: np.random.Generator,
        pooling: Pooling = "mean",
        dropout: float = 0.0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.outputs = outputs
        self.dropout = Dropout(dropout)
        self.output = Linear(width, outputs, rng, self.bias, dtype=dtype)

    def __call__(
        self, x: np.ndarray, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadCache]:
        """Scores (B, T, K) of every position of x (B, T, C)."""
        x, dropout = self.dropout(x, rng)
        scores, output = self.output(x)
        return scores, HeadCache(None, dropout, output)

    def backward(self, dscores: np.ndarray, cache: HeadCache) -> np.ndarray:
        return self.dropout.backward(self.output.backward(dscores, cache.output), cache.dropout)

    def loss(self, scores: np.ndarray, batch: EncoderBatch) -> tuple[Any, Any]:
        """Mean loss over the targets that are kept."""
        check_classes(batch.targets, scores.shape[:-1], self.outputs)
        return ops.cross_entropy_forward(scores, batch.targets)

    def backward_loss(self, dloss: float, cache: Any) -> np.ndarray:
        """Gradient of the scores."""
        return ops.cross_entropy_backward(dloss, cache)[0]


class LabelHead(Head):
    """A label for every token: cross-entropy, and -100 where none is asked for."""


class ClassHead(Head):
    """A class for the sequence: pooler, dropout, scores (B, K), cross-entropy."""

    def __init__(
        self,
        width: int,
        outputs: int,
        rng: np.random.Generator,
        pooling: Pooling = "mean",
        dropout: float = 0.0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.pooler = Pooler(width, pooling, rng, dtype)
        super().__init__(width, outputs, rng, pooling, dropout, dtype)

    def __call__(
        self, x: np.ndarray, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadCache]:
        """Scores (B, K) of every sequence of x (B, T, C)."""
        pooled, pooler = self.pooler(x, batch.lengths)
        scores, cache = super().__call__(pooled, batch, rng)
        return scores, cache._replace(pooler=pooler)

    def backward(self, dscores: np.ndarray, cache: HeadCache) -> np.ndarray:
        return self.pooler.backward(super().backward(dscores, cache), cache.pooler)


class NumberHead(ClassHead):
    """A number for the sequence: mean squared error."""

    def loss(self, scores: np.ndarray, batch: EncoderBatch) -> tuple[Any, Any]:
        """Mean squared difference from the targets (B,)."""
        targets = np.asarray(batch.targets)
        if targets.shape != scores.shape[:1] or not np.isfinite(targets).all():
            raise InputError(
                f"targets has shape {targets.shape}, expected ({scores.shape[0]},): a finite "
                "number for each sequence"
            )
        return ops.mse_forward(scores, targets.astype(scores.dtype)[:, None])

    def backward_loss(self, dloss: float, cache: Any) -> np.ndarray:
        return ops.mse_backward(dloss, cache)[0]


class SpanHead(Head):
    """Where an answer begins and ends: two scores for each token, cross-entropy over tokens."""

    bias = False  # softmax over the tokens takes it out again

    def __call__(
        self, x: np.ndarray, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadCache]:
        """Scores (B, 2, T) of every token to be the first, and the last, of the answer."""
        scores, cache = super().__call__(x, batch, rng)
        (columns,), split = ops.split_heads_forward(scores, (2,))
        B, T, _ = x.shape
        padding = np.where(ops.padding_mask(batch.lengths, T)[:, 0], 0.0, -1e9)
        scores, _ = ops.add_forward(columns.reshape(B, 2, T), padding.astype(x.dtype))
        return scores, cache._replace(shape=(columns.shape, split))

    def backward(self, dscores: np.ndarray, cache: HeadCache) -> np.ndarray:
        shape, split = cache.shape
        (dcolumns,) = ops.split_heads_backward((dscores.reshape(shape),), split)
        return super().backward(dcolumns, cache)

    def loss(self, scores: np.ndarray, batch: EncoderBatch) -> tuple[Any, Any]:
        """Mean cross-entropy of first and last token (B, 2)."""
        check_classes(batch.targets, scores.shape[:2], scores.shape[2])
        outside = (batch.targets >= batch.lengths[:, None]).any(axis=1)
        if outside.any():
            row = int(outside.argmax())
            raise InputError(
                f"the answer of sequence {row} is {batch.targets[row].tolist()}, behind its end "
                f"after {batch.lengths[row]} tokens"
            )
        return ops.cross_entropy_forward(scores, batch.targets)


class RewardHead(ClassHead):
    """How good a sequence is, read from its last token; learnt from pairs.

    References
    ----------
    Ouyang et al. (2022), Training language models to follow instructions, arXiv:2203.02155.
    """

    bias = False  # the same for both of a pair

    def loss(self, scores: np.ndarray, batch: EncoderBatch) -> tuple[Any, Any]:
        """Mean ``-log sigmoid(better - worse)`` of rows 0 and 1, 2 and 3, and so on.

        That is the cross-entropy of choosing the better of two; the targets (B,) say which it is:
        the greater one.
        """
        targets = np.asarray(batch.targets)
        if targets.shape != scores.shape[:1] or len(targets) % 2:
            raise InputError(
                f"targets has shape {targets.shape}, expected ({scores.shape[0]},), an even "
                "number: sequences come in pairs"
            )
        pairs = targets.reshape(-1, 2)
        if (pairs[:, 0] == pairs[:, 1]).any():
            raise InputError("the targets of a pair are equal; expected the better one's greater")
        return ops.cross_entropy_forward(scores.reshape(-1, 2), pairs.argmax(axis=1))

    def backward_loss(self, dloss: float, cache: Any) -> np.ndarray:
        return super().backward_loss(dloss, cache).reshape(-1, 1)


def check_classes(targets: Any, shape: tuple[int, ...], classes: int) -> None:
    """See to it that every target is a class, or ignored.

    Raises
    ------
    InputError
        Names the target and its place.
    """
    targets = np.asarray(targets)
    if targets.shape != shape or not np.issubdtype(targets.dtype, np.integer):
        raise InputError(
            f"targets are {targets.dtype} of shape {targets.shape}, expected integers of {shape}"
        )
    wrong = ((targets < 0) | (targets >= classes)) & (targets != IGNORE)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"target {list(place)} is {targets[place]}, expected 0 to {classes - 1}, one of the "
            f"{classes} classes, or {IGNORE} where none is asked for"
        )
