"""Mistakes in min-p."""

from minitransformer.generation import min_p
from minitransformer.testing.mutants.base import Mutant

_LIKELY = "likely = probabilities(logits)"
_LIMIT = "p * likely.max(axis=-1, keepdims=True)"
_CUT = f"return np.where(likely < {_LIMIT}, -np.inf, logits)"

MUTANTS = (
    Mutant(
        "min_p_is_a_threshold",
        min_p,
        {_LIMIT: "p"},
        "Tokens of a probability below p are dropped.",
        "p is relative: to which probability?",
    ),
    Mutant(
        "min_p_relative_to_the_mean",
        min_p,
        {_LIMIT: _LIMIT.replace("max", "mean")},
        "A token must be p times as likely as the average one.",
        "As the most likely one.",
    ),
    Mutant(
        "min_p_over_all_rows",
        min_p,
        {_LIMIT: "p * likely.max()"},
        "The best token of all rows sets the limit.",
        "Every row is a distribution of its own.",
    ),
    Mutant(
        "min_p_compares_logits",
        min_p,
        {_LIKELY: "likely = logits"},
        "A logit must be p times the largest.",
        "p is a ratio of probabilities: softmax first.",
    ),
    Mutant(
        "min_p_is_a_mass",
        min_p,
        {_LIMIT: "(1 - p) * likely.max(axis=-1, keepdims=True)"},
        "The greater p is, the more tokens stay, as with top-p.",
        "0 keeps all, 1 only the best: what is the limit at both ends?",
    ),
    Mutant(
        "min_p_drops_the_best",
        min_p,
        {_CUT: _CUT.replace("likely <", "likely >")},
        "The likely tokens are set to minus infinity.",
        "They are the ones that stay.",
    ),
    Mutant(
        "min_p_drops_what_equals_the_limit",
        min_p,
        {_CUT: _CUT.replace("likely <", "likely <=")},
        "What equals the limit is dropped.",
        "With p = 1 the limit is the best token itself.",
    ),
    Mutant(
        "min_p_overflows",
        min_p,
        {_LIKELY: "likely = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)"},
        "Softmax is exp divided by its sum.",
        "On paper; what is exp(1000)?",
    ),
    Mutant(
        "min_p_by_zero",
        min_p,
        {_CUT: f"return np.where(likely < {_LIMIT}, 0.0, logits).astype(logits.dtype)"},
        "A logit of 0 forbids a token.",
        "exp(0) is 1: which logit has the probability 0?",
    ),
    Mutant(
        "min_p_by_minus_1e9",
        min_p,
        {_CUT: f"return np.where(likely < {_LIMIT}, -1e9, logits).astype(logits.dtype)"},
        "-1e9 is as good as minus infinity.",
        "A forbidden token has the logit -inf, so that it is never drawn, whatever comes after.",
    ),
    Mutant(
        "min_p_returns_probabilities",
        min_p,
        {_CUT: f"return np.where(likely < {_LIMIT}, 0.0, likely).astype(logits.dtype)"},
        "The probabilities of unlikely tokens become 0.",
        "A processor makes logits of logits: softmax comes at the end.",
    ),
    Mutant(
        "min_p_overwrites_logits",
        min_p,
        {_CUT: f"logits[likely < {_LIMIT}] = -np.inf\n    return logits"},
        "The logits are changed in place.",
        "They are the caller's: return a new array.",
    ),
)
