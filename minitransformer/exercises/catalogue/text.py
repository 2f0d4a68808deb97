"""From text to tokens."""

from minitransformer.exercises.exercise import Exercise
from minitransformer.tokenizers.byte_pairs import bpe_encode, bpe_merge

EXERCISES = (
    Exercise(
        id="bpe_merge",
        unit="tokenizer",
        title="One merge of byte-pair encoding",
        functions=(bpe_merge,),
        goal="Replace every occurrence of a pair of neighbours by one new id, from left to right "
        "and without overlap. Return a new list.",
        formula="""
            ... first second ...  becomes  ... new_id ...
        """,
        example="""
            >>> bpe_merge([5, 1, 2, 1, 2, 1], (1, 2), 9)
            [5, 9, 9, 1]
            >>> bpe_merge([1, 1, 1, 2], (1, 1), 9)
            [9, 1, 2]
        """,
        hints=(
            "After a merge you go on behind both of its members: a for loop over positions cannot "
            "skip one, a while loop with an index can.",
            "The last id has no right neighbour: do not look past the end.",
            "At each place: if this id and the next are the pair, append new_id and go two places "
            "on; otherwise append this id and go one place on.",
        ),
    ),
    Exercise(
        id="bpe_encode",
        unit="tokenizer",
        title="Encoding a word by merges",
        functions=(bpe_merge, bpe_encode),
        goal="Cut one word into tokens as the tokenizer learnt to: replay the merges in the order "
        "in which they were learnt, until none applies. merged_ids says which id a pair becomes; "
        "the earlier a merge was learnt, the smaller is its id.",
        formula="""
            while some pair of neighbours has a merge:
                replace, everywhere, the pair whose merge was learnt first
        """,
        example="""
            >>> merged_ids = {(2, 3): 8, (1, 2): 9, (1, 8): 10}
            >>> bpe_encode([1, 2, 3], merged_ids)  # not (1, 2) first: (2, 3) was learnt earlier
            [10]
            >>> bpe_encode([1, 2, 1, 2], merged_ids)
            [9, 9]
        """,
        hints=(
            "Not the pair that stands first in the word: the one with the smallest id. And a "
            "merge can make new pairs, so look again after each.",
            "itertools.pairwise gives the pairs of neighbours. Which of them are in merged_ids, "
            "and which of those has the smallest id?",
            "Use the merge from the exercise before (copy your bpe_merge into this file). A word "
            "of one id, or of none, has no pair at all: the loop must end by itself.",
        ),
        points=2,
    ),
)
