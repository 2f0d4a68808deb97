# ruff: noqa: D103 (the library documents them under the same names)
"""Byte-pair encoding once more, in the most roundabout way.

Independent of the library and in plain Python: slow, and hard to get wrong.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]


def bpe_merge(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    if len(ids) < 2:
        return list(ids)
    if (ids[0], ids[1]) == tuple(pair):
        return [new_id, *bpe_merge(ids[2:], pair, new_id)]
    return [ids[0], *bpe_merge(ids[1:], pair, new_id)]


def bpe_encode(ids: Iterable[int], merged_ids: Mapping[Pair, int]) -> list[int]:
    encoded = list(ids)
    while True:
        neighbours = set(pairwise(encoded))
        applicable = sorted((merged_ids[p], p) for p in merged_ids if p in neighbours)
        if not applicable:
            return encoded
        new_id, pair = applicable[0]
        encoded = bpe_merge(encoded, pair, new_id)


def learn_merges(word_counts: Mapping[str, int], limit: int) -> list[Pair]:
    words = [(list(word.encode()), count) for word, count in word_counts.items()]
    merges: list[Pair] = []
    while len(merges) < limit:
        counts: Counter[Pair] = Counter()
        for ids, count in words:
            for pair in pairwise(ids):
                counts[pair] += count
        frequent = sorted((-count, pair) for pair, count in counts.items() if count >= 2)
        if not frequent:
            break
        _, pair = frequent[0]
        words = [(bpe_merge(ids, pair, 256 + len(merges)), count) for ids, count in words]
        merges.append(pair)
    return merges
