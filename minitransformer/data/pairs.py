"""From lists of unequal length to arrays: padding, and pairs of source and target."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minitransformer.data.batches import IGNORE, PairBatch
from minitransformer.errors import InputError


def pad(name: str, rows: Sequence[Sequence[int]], fill: int = 0) -> NDArray[np.int64]:
    """Lay rows of unequal length under one another, filled up behind their ends.

    Parameters
    ----------
    name
        What a row is called in an error.
    rows
        Token ids, one row or more, none of them empty.
    fill
        What stands in the padding.

    Returns
    -------
    (B, T) int64
        T is the length of the longest row.

    Raises
    ------
    InputError
        If there is no row, or one is empty.
    """
    _check_rows(name, rows)
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def pair_batch(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    start_id: int,
    end_id: int,
) -> PairBatch:
    """Sources and targets as an encoder-decoder reads them.

    Parameters
    ----------
    sources, targets
        Token ids, without start and end; as many sources as targets.
    start_id, end_id
        What the decoder reads before the target, and is asked for behind it.

    Returns
    -------
    PairBatch

    Raises
    ------
    InputError
        If there is no pair, a source or target is empty, or one has no partner.

    Examples
    --------
    >>> batch = pair_batch([[5, 6], [7]], [[3], [4, 4]], start_id=0, end_id=1)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 3, 1], [0, 4, 4]], [[3, 1, -100], [4, 4, 1]])
    """
    if len(sources) != len(targets):
        raise InputError(
            f"got {len(sources)} sources and {len(targets)} targets, expected one for each"
        )
    padded_sources = pad("source", sources)
    _check_rows("target", targets)
    return PairBatch(
        padded_sources,
        np.array([len(source) for source in sources], np.int64),
        pad("target", [[start_id, *target] for target in targets], end_id),
        pad("target", [[*target, end_id] for target in targets], IGNORE),
    )


def _check_rows(name: str, rows: Sequence[Sequence[int]]) -> None:
    if len(rows) == 0:
        raise InputError(f"there is no {name}, expected at least one")
    for i, row in enumerate(rows):
        if len(row) == 0:
            raise InputError(f"{name} {i} is empty, expected at least one token")
