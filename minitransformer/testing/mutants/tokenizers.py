"""Mistakes in byte-pair encoding."""

from minitransformer.testing.mutants.base import Mutant
from minitransformer.tokenizers import bpe_encode, bpe_merge, learn_merges

_IF = "if ids[i] == first and i + 1 < len(ids) and ids[i + 1] == second:"
_WHILE = "while i < len(ids):"
_MERGED = "merged.append(new_id)"
_RETURN = "return merged"

_LOOP = "while mergeable := [pair for pair in pairwise(ids) if pair in merged_ids]:"
_FIRST = "learnt_first = min(mergeable, key=merged_ids.__getitem__)"
_MERGE = "ids = bpe_merge(ids, learnt_first, merged_ids[learnt_first])"

_REPEATS = "repeats = list(word_counts.values())"
_HEAP = "heap = [(-count, pair) for pair, count in pair_counts.items()]"
_NEW_ID = "BYTES + len(merges)"

MUTANTS = (
    Mutant(
        "bpe_merge_first_id_only",
        bpe_merge,
        {_IF: "if ids[i] == first and i + 1 < len(ids):"},
        "The first id of the pair tells.",
        "Its right neighbour must be the second.",
    ),
    Mutant(
        "bpe_merge_either_order",
        bpe_merge,
        {_IF: "if i + 1 < len(ids) and {ids[i], ids[i + 1]} == {first, second}:"},
        "A pair is two ids, in any order.",
        '"th" and "ht" are different: first the first, then the second.',
    ),
    Mutant(
        "bpe_merge_runs_over_the_end",
        bpe_merge,
        {_IF: "if ids[i] == first and ids[i + 1] == second:"},
        "Every id has a right neighbour.",
        "The last one has none.",
    ),
    Mutant(
        "bpe_merge_loses_the_last",
        bpe_merge,
        {_WHILE: "while i < len(ids) - 1:"},
        "The loop ends at the last pair.",
        "If the last id belongs to no pair, it is lost.",
    ),
    Mutant(
        "bpe_merge_second_half_stays",
        bpe_merge,
        {"i += 2": "i += 1"},
        "After a merge the next id follows.",
        "It belongs to the pair that was just merged: go on behind it.",
    ),
    Mutant(
        "bpe_merge_skips_what_follows",
        bpe_merge,
        {"i += 2": "i += 3"},
        "After a merge three ids are done.",
        "A pair has two.",
    ),
    Mutant(
        "bpe_merge_keeps_the_pair",
        bpe_merge,
        {_MERGED: "merged += [new_id, second]"},
        "The new id is put in front of the second.",
        "It takes the place of both.",
    ),
    Mutant(
        "bpe_merge_drops_the_pair",
        bpe_merge,
        {_MERGED: "pass"},
        "Merged ids are removed.",
        "The new id takes their place.",
    ),
    Mutant(
        "bpe_merge_first_occurrence_only",
        bpe_merge,
        {_MERGED: f"{_MERGED}\n            return [*merged, *ids[i + 2 :]]"},
        "The pair occurs once.",
        "Replace every occurrence.",
    ),
    Mutant(
        "bpe_merge_overlapping",
        bpe_merge,
        {
            "i += 2": "i += 1",
            "merged.append(ids[i])": (
                "is_end = i > 0 and ids[i - 1] == first and ids[i] == second\n"
                "            merged += [] if is_end else [ids[i]]"
            ),
        },
        "Wherever the pair begins there is a merge.",
        "A token can be merged once: what becomes of 1 1 1 and the pair 1 1?",
    ),
    Mutant(
        "bpe_merge_from_the_right",
        bpe_merge,
        {
            "first, second = pair": "second, first = pair\n    ids = ids[::-1]",
            _RETURN: "return merged[::-1]",
        },
        "Where to begin does not matter.",
        "It does where pairs overlap, as in a a a: from left to right.",
    ),
    Mutant(
        "bpe_merge_again_and_again",
        bpe_merge,
        {_RETURN: "return merged if merged == list(ids) else bpe_merge(merged, pair, new_id)"},
        "The merge is repeated until no pair is left.",
        "One pass: what it makes is not merged again.",
    ),
    Mutant(
        "bpe_merge_overwrites_ids",
        bpe_merge,
        {_RETURN: "ids[:] = merged\n    return ids"},
        "The ids are changed in place.",
        "They are the caller's: return a new list.",
    ),
    Mutant(
        "bpe_encode_not_at_all",
        bpe_encode,
        {_LOOP: "while mergeable := []:"},
        "Bytes are tokens.",
        "Merges make longer ones of them.",
    ),
    Mutant(
        "bpe_encode_one_merge_only",
        bpe_encode,
        {_MERGE: f"{_MERGE}\n        break"},
        "One merge is applied.",
        "Merges follow upon merges, until none applies.",
    ),
    Mutant(
        "bpe_encode_from_the_left",
        bpe_encode,
        {_FIRST: "learnt_first = mergeable[0]"},
        "The leftmost pair is merged.",
        "Training did it in the order of the merges: the one learnt first comes first.",
    ),
    Mutant(
        "bpe_encode_from_the_right",
        bpe_encode,
        {_FIRST: "learnt_first = mergeable[-1]"},
        "The rightmost pair is merged.",
        "Training did it in the order of the merges: the one learnt first comes first.",
    ),
    Mutant(
        "bpe_encode_latest_merge_first",
        bpe_encode,
        {_FIRST: _FIRST.replace("min", "max")},
        "The latest merge makes the longest token, so it comes first.",
        "Training did it in the order of the merges: the one learnt first comes first.",
    ),
    Mutant(
        "bpe_encode_smallest_pair_first",
        bpe_encode,
        {_FIRST: "learnt_first = min(mergeable)"},
        "The smallest pair is merged first.",
        "The pair that was learnt first: which id does it become?",
    ),
    Mutant(
        "bpe_encode_most_frequent_pair_first",
        bpe_encode,
        {_FIRST: "learnt_first = max(mergeable, key=mergeable.count)"},
        "The most frequent pair of the word is merged first.",
        "That was training; encoding replays what was learnt, in this order.",
    ),
    Mutant(
        "bpe_encode_in_the_order_of_the_table",
        bpe_encode,
        {
            _LOOP: "for learnt_first in merged_ids:",
            _FIRST: "",
        },
        "The table lists the merges in the order in which they were learnt.",
        "It is a mapping: the id that a pair becomes tells when it was learnt.",
    ),
    Mutant(
        "bpe_encode_longest_match",
        bpe_encode,
        {
            _LOOP: "made = {new: pair for pair, new in merged_ids.items()}\n"
            "    spell = lambda t: sum(map(spell, made[t]), ()) if t in made else (t,)\n"
            "    words = sorted(((spell(new), new) for new in made), key=lambda w: -len(w[0]))\n"
            "    rest, ids = tuple(ids), []\n"
            "    while rest:",
            _FIRST: "word, token = next(((w, t) for w, t in words if rest[: len(w)] == w), "
            "(rest[:1], rest[0]))",
            _MERGE: "ids, rest = [*ids, token], rest[len(word) :]",
        },
        "The longest token that fits is taken, from left to right.",
        "WordPiece does that; byte-pair encoding replays its merges.",
    ),
    Mutant(
        "learn_merges_of_the_first_count",
        learn_merges,
        {
            "    merges: list[Pair] = []\n": "    ranked = sorted(pair_counts, "
            "key=lambda pair: (-pair_counts[pair], pair))\n"
            "    return [pair for pair in ranked if pair_counts[pair] > 1][:limit]\n"
            "    merges: list[Pair] = []\n"
        },
        "The most frequent pairs of the text are the merges.",
        "A merge makes new pairs and destroys others: count again after each.",
    ),
    Mutant(
        "learn_merges_ignores_how_often_words_occur",
        learn_merges,
        {_REPEATS: "repeats = [1] * len(words)"},
        "Each word counts once.",
        "As often as it occurs.",
    ),
    Mutant(
        "learn_merges_of_characters",
        learn_merges,
        {"list(word.encode())": "list(map(ord, word))"},
        "A word is a list of characters.",
        "Of bytes: é is two of them.",
    ),
    Mutant(
        "learn_merges_ids_one_ahead",
        learn_merges,
        {
            "bpe_merge(words[i], pair, BYTES + len(merges))": (
                "bpe_merge(words[i], pair, BYTES + len(merges) + 1)"
            )
        },
        "The first merge makes id 257.",
        "The bytes are 0 to 255: which id comes next?",
    ),
    Mutant(
        "learn_merges_one_too_many",
        learn_merges,
        {"len(merges) < limit": "len(merges) <= limit"},
        "The loop ends when there are more merges than asked for.",
        "`limit` merges are to be learnt.",
    ),
    Mutant(
        "learn_merges_of_single_pairs",
        learn_merges,
        {"if negative_count > -2:": "if negative_count > -1:"},
        "Any pair may be merged.",
        "One that occurs once teaches nothing: stop there.",
    ),
    Mutant(
        "learn_merges_ties_by_the_largest",
        learn_merges,
        {
            "(-count, pair) for pair, count": "(-count, (-pair[0], -pair[1])) for pair, count",
            "negative_count, pair = heappop(heap)": "negative_count, pair = heappop(heap)\n"
            "        pair = (-pair[0], -pair[1])",
            "(-pair_counts[changed], changed)": (
                "(-pair_counts[changed], (-changed[0], -changed[1]))"
            ),
        },
        "Of equally frequent pairs any will do.",
        "It will, but the smallest was agreed on, so that results can be repeated.",
    ),
    Mutant(
        "learn_merges_rarest_first",
        learn_merges,
        {
            "    merges: list[Pair] = []\n": "    ranked = sorted(pair_counts, "
            "key=lambda pair: (pair_counts[pair], pair))\n"
            "    return [pair for pair in ranked if pair_counts[pair] > 1][:limit]\n"
            "    merges: list[Pair] = []\n"
        },
        "Sorting puts the most frequent first.",
        "Sorting goes upwards.",
    ),
)
