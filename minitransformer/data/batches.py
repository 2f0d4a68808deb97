"""Batches: what one training step reads, and what it is asked for.

Every batch has ``inputs`` and ``targets``. A model's loss is the mean over the targets that are
kept, so batches are put together, and cut apart, by weighing each with its number of targets.
"""

from itertools import pairwise
from typing import NamedTuple, TypeAlias, TypeVar, cast

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


AnyBatch: TypeAlias = Batch | EncoderBatch | PairBatch
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
    rows = len(batch.inputs)
    borders = np.linspace(0, rows, min(parts, rows) + 1).astype(int)
    arrays = {name: array for name, array in batch._asdict().items() if array is not None}
    cut = [
        batch._replace(**{name: array[start:stop] for name, array in arrays.items()})
        for start, stop in pairwise(borders)
    ]
    return cast(list[B], cut)
