"""The algorithm of byte-pair encoding: merge the most frequent pair of neighbours, again and again.

"t" "h" -> "th", "th" "e" -> "the": tokens begin as the 256 bytes and grow by merges. Training finds
the merges; encoding replays them in the order in which they were learnt.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from minitransformer.backend import op

Pair = tuple[int, int]

BYTES = 256
"""The ids below are the bytes themselves; the merges follow."""


@op(composed=True)
def bpe_merge(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """Replace a pair of neighbours by one id, from left to right and without overlap.

    Parameters
    ----------
    ids : sequence of int
        Tokens; left as they are.
    pair : tuple of two ints
        The neighbours to replace.
    new_id : int
        What to replace them by.

    Returns
    -------
    list of int
        The shorter sequence.

    Examples
    --------
    >>> bpe_merge([1, 1, 1, 2], (1, 1), 9)
    [9, 1, 2]
    """
    first, second = pair
    merged = []
    i = 0
    while i < len(ids):
        if ids[i] == first and i + 1 < len(ids) and ids[i + 1] == second:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


@op(composed=True)
def bpe_encode(ids: Iterable[int], merged_ids: Mapping[Pair, int]) -> list[int]:
    """Replay the merges on one word: always the one learnt first of those that apply.

    Parameters
    ----------
    ids : iterable of int
        The word's bytes.
    merged_ids : mapping of pairs to int
        The id that each pair becomes; a merge learnt earlier has a smaller id.

    Returns
    -------
    list of int
        What is left when no pair of neighbours has a merge.

    Examples
    --------
    >>> bpe_encode([1, 2, 3], {(2, 3): 8, (1, 2): 9, (1, 8): 10})
    [10]
    """
    ids = list(ids)
    while mergeable := [pair for pair in pairwise(ids) if pair in merged_ids]:
        learnt_first = min(mergeable, key=merged_ids.__getitem__)
        ids = bpe_merge(ids, learnt_first, merged_ids[learnt_first])
    return ids


def learn_merges(word_counts: Mapping[str, int], limit: int) -> list[Pair]:
    """Find the most frequent pair of neighbours, merge it everywhere, and begin again.

    Parameters
    ----------
    word_counts : mapping of str to int
        How often each word occurs.
    limit : int
        Number of merges to learn.

    Returns
    -------
    list of pairs of ints
        In the order learnt; the i-th makes id `256 + i`. Of equally frequent pairs the smallest
        (by first id, then second) wins, so that the same text always gives the same tokenizer.
        There are fewer than `limit` if no pair is left that occurs twice.

    Notes
    -----
    A merge changes only the words that hold the pair, so pair counts are kept up to date rather
    than counted anew. The heap gets a new entry at each change of a count; an entry that
    no longer tells the count is out of date and skipped.
    """
    words = [list(word.encode()) for word in word_counts]
    repeats = list(word_counts.values())
    pair_counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for i, word in enumerate(words):
        for pair in pairwise(word):
            pair_counts[pair] += repeats[i]
            holders[pair].add(i)
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapify(heap)

    merges: list[Pair] = []
    while heap and len(merges) < limit:
        negative_count, pair = heappop(heap)
        if negative_count > -2:
            break
        if -negative_count != pair_counts[pair]:
            continue
        changes: Counter[Pair] = Counter()
        for i in holders.pop(pair):
            merged = bpe_merge(words[i], pair, BYTES + len(merges))
            for old in pairwise(words[i]):
                changes[old] -= repeats[i]
            for new in pairwise(merged):
                changes[new] += repeats[i]
                holders[new].add(i)
            words[i] = merged
        for changed, change in changes.items():
            if change:
                pair_counts[changed] += change
                heappush(heap, (-pair_counts[changed], changed))
        merges.append(pair)
    return merges
