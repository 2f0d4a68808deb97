"""Batches: what one training step reads, and what it is asked for.

Every batch has ``inputs`` and ``targets``. A model's loss is the mean over the targets that are
kept, so batches are put together, and cut apart, by weighing each with its number of targets.
"""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

IGNORE = -100
"""Target of a position that is not asked for, as in `ops.cross_entropy_forward`."""


class Batch(NamedTuple):
    """What a language model learns from: at every position, the token that comes next.

    Attributes
    ----------
    inputs : (B, T) int64
        Windows of the text.
    targets : (B, T) int64
        The same windows, one token later; `IGNORE` where nothing is asked.
    mask : (B, 1, T, T) bool, optional
        True = may attend, instead of the causal mask.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    mask: NDArray[np.bool_] | None = None


class EncoderBatch(NamedTuple):
    """What an encoder learns from: sequences of unequal length, padded behind their end.

    Attributes
    ----------
    inputs : (B, T) int64
        The sequences; what stands in the padding is never looked at.
    lengths : (B,) int64
        Tokens of each, from 1 to T.
    targets : (B, T) or (B, ...) of what the model is asked for
        Hidden tokens or labels (B, T), `IGNORE` where nothing is asked; classes or numbers (B,);
        first and last token of an answer (B, 2).
    segments : (B, T) int64, optional
        0 in the first text, 1 in the second.
    """

    inputs: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.int64] | NDArray[np.floating]
    segments: NDArray[np.int64] | None = None


class PairBatch(NamedTuple):
    """What an encoder-decoder learns from: a source, and a target that is told one token later.

    Attributes
    ----------
    sources : (B, S) int64
        What the encoder reads, padded behind the end.
    source_lengths : (B,) int64
        Tokens of each source, from 1 to S.
    inputs : (B, T) int64
        What the decoder reads: a start token, then the target; padded behind the end.
    targets : (B, T) int64
        What it is asked for: the target, then an end token, then `IGNORE`.
    """

    sources: NDArray[np.int64]
    source_lengths: NDArray[np.int64]
    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]


class MultiTaskBatch(NamedTuple):
    """What a model of several tasks learns from in one step.

    Attributes
    ----------
    parts
        A batch for each task that has its turn.
    weights
        How much the mean loss of each part counts, for its task; 1 where none is given. A part of
        a larger batch has the weights with which the losses of all such parts add up.
    """

    parts: Mapping[str, EncoderBatch]
    weights: Mapping[str, float] = MappingProxyType({})

    @property
    def inputs(self) -> NDArray[np.int64]:
        """All tokens (N,)."""
        return np.concatenate([batch.inputs.ravel() for batch in self.parts.values()])

    @property
    def targets(self) -> NDArray[Any]:
        """All targets (N,)."""
        return np.concatenate([batch.targets.ravel() for batch in self.parts.values()])

    def split(self, parts: int) -> "list[MultiTaskBatch]":
        """Cut the batch of every task apart."""
        cut = {task: split_batch(batch, parts) for task, batch in self.parts.items()}
        pieces = [
            {task: batches[i] for task, batches in cut.items() if i < len(batches)}
            for i in range(max(map(len, cut.values())))
        ]
        return [MultiTaskBatch(piece, self._weights_of(piece)) for piece in pieces]

    def _weights_of(self, piece: Mapping[str, EncoderBatch]) -> dict[str, float]:
        """A task's share of the targets in this piece, divided by that in the whole batch."""
        whole, here = _shares(self.parts), _shares(piece)
        return {
            task: self.weights.get(task, 1.0) * here[task] / whole[task] if here[task] else 0.0
            for task in piece
        }


def _shares(parts: Mapping[str, EncoderBatch]) -> dict[str, float]:
    counts = {task: count_targets(batch) for task, batch in parts.items()}
    return {task: count / max(sum(counts.values()), 1) for task, count in counts.items()}


AnyBatch: TypeAlias = Batch | EncoderBatch | PairBatch | MultiTaskBatch
B = TypeVar("B", bound=AnyBatch)


def count_targets(batch: AnyBatch) -> int:
    """Number of targets that are kept: what the batch's loss is the mean over."""
    return int(np.count_nonzero(batch.targets != IGNORE))


def split_batch(batch: B, parts: int) -> list[B]:
    """Cut a batch into smaller ones, row by row; no part is empty.

    Parameters
    ----------
    batch
        Any batch of B rows.
    parts
        Number of parts, 1 or more; with fewer rows than parts there is one row each.

    Returns
    -------
    list of batches
        Of nearly equal size, in the order of the rows. With ``count_targets`` as weights, the
        mean of their losses and of their gradients is that of the whole batch.

    Raises
    ------
    ValueError
        If ``parts`` is below 1.
    """
    if parts < 1:
        raise ValueError(f"split_batch: parts is {parts}, expected 1 or more")
    if isinstance(batch, MultiTaskBatch):
        return cast(list[B], batch.split(parts))
    rows = len(batch.inputs)
    borders = np.linspace(0, rows, min(parts, rows) + 1).astype(int)
    arrays = {name: array for name, array in batch._asdict().items() if array is not None}
    cut = [
        batch._replace(**{name: array[start:stop] for name, array in arrays.items()})
        for start, stop in pairwise(borders)
    ]
    return cast(list[B], cut)
