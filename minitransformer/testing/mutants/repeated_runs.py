"""Mistakes in the ban of runs of tokens that would occur twice."""

from minitransformer.generation import no_repeat_ngram
from minitransformer.testing.mutants.base import Mutant

_OFF = "if size == 0 or"
_RUNS = "runs = np.lib.stride_tricks.sliding_window_view(seen, size, axis=-1)"
_LAST = "last = seen[..., None, seen.shape[-1] - (size - 1) :]"
_MATCH = "(runs[..., :-1] == last).all(axis=-1)"
_COPY = "y = logits.copy()"
_BAN = "y[(*rows, runs[(*rows, run, -1)])] = -np.inf"

MUTANTS = (
    Mutant(
        "ngram_one_token_longer",
        no_repeat_ngram,
        {
            _OFF: "if size == 0 or seen.shape[-1] == size or",
            _RUNS: _RUNS.replace("size", "size + 1"),
            _LAST: _LAST.replace("(size - 1)", "size"),
        },
        "The last n tokens, and what followed them before, are compared.",
        "The token to come is one of the n.",
    ),
    Mutant(
        "ngram_one_token_shorter",
        no_repeat_ngram,
        {
            _RUNS: _RUNS.replace("size", "max(size - 1, 1)"),
            _LAST: _LAST.replace("(size - 1)", "max(size - 2, 0)"),
        },
        "The last n - 2 tokens decide.",
        "Together with the token to come, a run has n tokens.",
    ),
    Mutant(
        "ngram_one_equal_token_is_enough",
        no_repeat_ngram,
        {_MATCH: _MATCH.replace("all", "any")},
        "One token in common makes two runs alike.",
        "All must agree, each at its place.",
    ),
    Mutant(
        "ngram_in_any_order",
        no_repeat_ngram,
        {_MATCH: "(np.sort(runs[..., :-1]) == np.sort(last)).all(axis=-1)"},
        "Two runs are alike if they have the same tokens.",
        "In the same order.",
    ),
    Mutant(
        "ngram_of_the_beginning",
        no_repeat_ngram,
        {_LAST: "last = seen[..., None, : size - 1]"},
        "The text's first tokens are those that must not come again.",
        "Which tokens will the next one follow?",
    ),
    Mutant(
        "ngram_bans_every_token_seen",
        no_repeat_ngram,
        {_MATCH: "np.ones(runs.shape[:-1], bool)"},
        "What was seen may not come again.",
        "With n = 1; for longer runs, the tokens before it must agree as well.",
    ),
    Mutant(
        "ngram_bans_the_first_of_the_run",
        no_repeat_ngram,
        {_BAN: _BAN.replace("-1)", "0)")},
        "The run's first token is forbidden.",
        "Which of its tokens would complete the run?",
    ),
    Mutant(
        "ngram_bans_the_whole_run",
        no_repeat_ngram,
        {
            _BAN: "for at in zip(*rows, run):\n"
            "        y[(*at[:-1], runs[at])] = -np.inf\n"
            "    return y"
        },
        "All tokens of a run that was seen are forbidden.",
        "Only its last one would complete it.",
    ),
    Mutant(
        "ngram_only_the_first_time",
        no_repeat_ngram,
        {_BAN: f"*rows, run = (index[:1] for index in (*rows, run))\n    {_BAN}"},
        "One run that agrees is enough to look at.",
        "What follows may differ from run to run: each forbids a token.",
    ),
    Mutant(
        "ngram_bans_in_all_rows",
        no_repeat_ngram,
        {_BAN: "y[..., runs[(*rows, run, -1)]] = -np.inf"},
        "What one row must not say, no row may.",
        "Every row has seen tokens of its own.",
    ),
    Mutant(
        "ngram_of_one_is_off",
        no_repeat_ngram,
        {_OFF: "if size <= 1 or"},
        "One token is no run.",
        "It is the shortest: then no token may come twice. 0 is off.",
    ),
    Mutant(
        "ngram_allows_only_the_banned",
        no_repeat_ngram,
        {_COPY: "y = np.full_like(logits, -np.inf)", _BAN: _BAN.replace("-np.inf", "1.0")},
        "The tokens that would repeat a run are kept.",
        "They are forbidden, and the others keep their logits.",
    ),
    Mutant(
        "ngram_by_zero",
        no_repeat_ngram,
        {_BAN: _BAN.replace("-np.inf", "0.0")},
        "A logit of 0 forbids a token.",
        "exp(0) is 1: which logit has the probability 0?",
    ),
    Mutant(
        "ngram_by_minus_1e9",
        no_repeat_ngram,
        {_BAN: _BAN.replace("-np.inf", "-1e9")},
        "-1e9 is as good as minus infinity.",
        "A forbidden token has the logit -inf, so that it is never drawn, whatever comes after.",
    ),
    Mutant(
        "ngram_overwrites_logits",
        no_repeat_ngram,
        {_COPY: "y = logits"},
        "The logits are changed in place.",
        "They are the caller's: return a new array.",
    ),
)
