"""Byte-pair encoding of one word by a table of ranked merges, in the time of a sort."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from minitransformer.tokenizers.byte_pairs import Pair


def merge_by_rank(
    ids: Sequence[int], merges: Mapping[Pair, tuple[int, int]]
) -> list[tuple[int, int]]:
    """Merge pairs of neighbours, the lowest rank first, and of equals the one furthest left.

    Parameters
    ----------
    ids
        The word's symbols.
    merges
        Rank of each pair, and the id that it becomes.

    Returns
    -------
    list of (int, int)
        The ids that are left, each with the number of symbols that it is made of.

    Notes
    -----
    A heap holds the pairs that may be merged; those that a merge beside them has broken up are
    passed over when their turn comes.

    Examples
    --------
    >>> merge_by_rank([1, 2, 3, 3], {(2, 3): (0, 8), (1, 2): (1, 9), (1, 8): (2, 10)})
    [(10, 3), (3, 1)]
    """
    ids, widths = list(ids), [1] * len(ids)
    left = list(range(-1, len(ids) - 1))  # the neighbours that are still there
    right = list(range(1, len(ids) + 1))

    def entry(i: int) -> tuple[int, int, int] | None:
        """Rank, place and result of the merge of i and its right neighbour, if there is one."""
        if i < 0 or right[i] == len(ids) or (ids[i], ids[right[i]]) not in merges:
            return None
        rank, merged = merges[ids[i], ids[right[i]]]
        return rank, i, merged

    queue = [found for i in range(len(ids)) if (found := entry(i))]
    heapify(queue)
    while queue:
        best = heappop(queue)
        i = best[1]
        if not widths[i] or entry(i) != best:
            continue
        gone = right[i]
        ids[i] = best[2]
        widths[i] += widths[gone]
        widths[gone] = 0
        right[i] = right[gone]
        if right[i] < len(ids):
            left[right[i]] = i
        for changed in (left[i], i):
            if found := entry(changed):
                heappush(queue, found)
    return [(token, width) for token, width in zip(ids, widths, strict=True) if width]
