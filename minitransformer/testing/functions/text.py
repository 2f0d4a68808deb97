"""Inputs of byte-pair encoding."""

import numpy as np

from minitransformer.testing.functions.base import FunctionSpec
from minitransformer.testing.references import text
from minitransformer.testing.specs import Cases
from minitransformer.tokenizers import bpe_encode, bpe_merge, learn_merges


def _merge(rng: np.random.Generator) -> Cases:
    cases = {
        "some pairs": ([5, 1, 2, 7, 1, 2, 1], (1, 2), 9),
        "overlapping pairs": ([1, 1, 1, 2, 1, 1, 1, 1], (1, 1), 9),
        "only halves of pairs": ([2, 1, 3, 2, 2, 1], (1, 2), 9),
        "a pair at the end": ([3, 4, 1, 2], (1, 2), 9),
        "half a pair at the end": ([1, 2, 3, 1], (1, 2), 9),
        "what was merged makes a pair again": ([1, 2, 2, 1, 2], (1, 2), 1),
        "what was merged overlaps": ([9, 9, 9, 9, 9], (9, 9), 9),
        "no pair": ([3, 4, 5], (1, 2), 9),
        "one token": ([1], (1, 1), 9),
        "nothing": ([], (1, 2), 9),
        "two letters": (rng.integers(2, size=60).tolist(), (0, 1), 2),
        "one letter": ([7] * 11, (7, 7), 8),
    }
    return {
        label: {"ids": ids, "pair": pair, "new_id": new_id}
        for label, (ids, pair, new_id) in cases.items()
    }


def _encode(rng: np.random.Generator) -> Cases:
    cases = {
        "the earlier merge wins": ([1, 2, 3], {(2, 3): 8, (1, 2): 9}),
        "merges are listed in any order": ([1, 2, 3], {(1, 2): 9, (2, 3): 8}),
        "merges of merges": ([1, 2, 3, 4], {(1, 2): 5, (3, 4): 6, (5, 6): 7}),
        "a late merge frees no earlier one": ([1, 1, 2], {(1, 2): 5, (1, 1): 6, (6, 2): 7}),
        "every occurrence": ([1, 2, 1, 2, 2, 1, 2], {(1, 2): 5, (5, 5): 6}),
        "no merge": ([3, 1, 2], {}),
        "one byte": ([3], {(3, 3): 5}),
        "nothing": ([], {(3, 3): 5}),
    }
    for letters, size in ((2, 30), (3, 40), (4, 60)):
        word = rng.integers(letters, size=size).tolist()
        merges = text.learn_merges({bytes(word).decode(): 2}, 12)
        cases[f"a word of {letters} letters"] = (
            rng.integers(letters, size=size).tolist(),
            {pair: 256 + i for i, pair in enumerate(merges)},
        )
    return {label: {"ids": ids, "merged_ids": merged} for label, (ids, merged) in cases.items()}


def _learn(rng: np.random.Generator) -> Cases:
    letters = np.array(list("abc"))
    drawn = ["".join(rng.choice(letters, size=rng.integers(1, 9))) for _ in range(40)]
    random_words = {word: int(rng.integers(1, 5)) for word in drawn}
    cases = {
        "words": ({"the": 5, "cat": 2, "hat": 2, "that": 1}, 4),
        "a tie": ({"ab": 2, "ba": 2, "cd": 2}, 3),
        "one letter": ({"aaaaaaa": 3, "aa": 1}, 3),
        "counts weigh": ({"xy": 1, "xyxy": 1, "zw": 4}, 2),
        "no pair twice": ({"abcd": 1, "ef": 1}, 5),
        "letters of two bytes": ({"éé": 3, "né": 2}, 5),
        "no merges": ({"aa": 5}, 0),
        "nothing": ({}, 3),
        "random words": (random_words, 25),
    }
    return {label: {"word_counts": words, "limit": n} for label, (words, n) in cases.items()}


TEXT = (
    FunctionSpec("bpe_merge", bpe_merge, text.bpe_merge, _merge),
    FunctionSpec("bpe_encode", bpe_encode, text.bpe_encode, _encode),
    FunctionSpec("learn_merges", learn_merges, text.learn_merges, _learn),
)
