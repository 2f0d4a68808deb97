"""Mistakes in top-k and top-p."""

from minitransformer.generation import top_k, top_p
from minitransformer.testing.mutants.base import Mutant

_LIMIT = "limit = np.partition(logits, -k, axis=-1)[..., -k, None]"
_CUT = "return np.where(logits < limit, -np.inf, logits)"
_OFF = "if k == 0 or k >= logits.shape[-1]:"

_ORDER = 'order = np.argsort(-logits, axis=-1, kind="stable")'
_MASS = "mass = np.cumsum(np.take_along_axis(probabilities(logits), order, axis=-1), axis=-1)"
_KEEP_SORTED = "keep_sorted[..., 1:] = mass[..., :-1] < p"
_UNSORT = "np.put_along_axis(keep, order, keep_sorted, axis=-1)"
_KEPT = "return np.where(keep, logits, -np.inf)"

MUTANTS = (
    Mutant(
        "top_k_one_too_many",
        top_k,
        {_LIMIT: "limit = np.partition(logits, -k - 1, axis=-1)[..., -k - 1, None]"},
        "The limit is the first that is dropped, and it stays.",
        "How many logits are at least as large as your limit?",
    ),
    Mutant(
        "top_k_one_too_few",
        top_k,
        {_CUT: "return np.where(logits <= limit, -np.inf, logits)"},
        "What equals the limit is dropped.",
        "The limit is the k-th largest: it belongs to the k.",
    ),
    Mutant(
        "top_k_keeps_the_unlikely",
        top_k,
        {
            _LIMIT: "limit = np.partition(logits, k - 1, axis=-1)[..., k - 1, None]",
            _CUT: "return np.where(logits > limit, -np.inf, logits)",
        },
        "Sorted, the first k are the best.",
        "NumPy sorts upwards: the most likely come last.",
    ),
    Mutant(
        "top_k_drops_the_best",
        top_k,
        {_CUT: "return np.where(logits < limit, logits, -np.inf)"},
        "The k largest are set to minus infinity.",
        "They are the ones that stay.",
    ),
    Mutant(
        "top_k_by_zero",
        top_k,
        {_CUT: "return np.where(logits < limit, 0.0, logits).astype(logits.dtype)"},
        "A logit of 0 forbids a token.",
        "exp(0) is 1: which logit has the probability 0?",
    ),
    Mutant(
        "top_k_by_minus_1e9",
        top_k,
        {_CUT: "return np.where(logits < limit, -1e9, logits).astype(logits.dtype)"},
        "-1e9 is as good as minus infinity.",
        "A forbidden token has the logit -inf, so that it is never drawn, whatever comes after.",
    ),
    Mutant(
        "top_k_breaks_ties",
        top_k,
        {
            _LIMIT: 'rest = np.argsort(-logits, axis=-1, kind="stable")[..., k:]',
            _CUT: "y = logits.copy()\n"
            "    np.put_along_axis(y, rest, -np.inf, axis=-1)\n"
            "    return y",
        },
        "Exactly k tokens stay.",
        "More, if some tie with the last of them: none of equals is preferred.",
    ),
    Mutant(
        "top_k_over_all_rows",
        top_k,
        {_LIMIT: "limit = np.partition(logits.ravel(), -k)[-k]"},
        "The limit is the k-th largest of all logits.",
        "Of each row: every row is a distribution of its own.",
    ),
    Mutant(
        "top_k_returns_the_k",
        top_k,
        {_CUT: "return np.sort(logits, axis=-1)[..., -k:]"},
        "The k largest logits are returned.",
        "All V are: the others become -inf, and each token keeps its place.",
    ),
    Mutant(
        "top_k_returns_probabilities",
        top_k,
        {
            _CUT: f"{_CUT.replace('return ', 'logits = ')}\n"
            "    return probabilities(logits).astype(logits.dtype)"
        },
        "What is left is normalised.",
        "A processor makes logits of logits: softmax comes at the end.",
    ),
    Mutant(
        "top_k_zero_keeps_none",
        top_k,
        {
            _OFF: "if k == 0:\n        return np.full_like(logits, -np.inf)\n    if k >= "
            "logits.shape[-1]:"
        },
        "With k = 0 no token stays.",
        "0 means off: all stay.",
    ),
    Mutant(
        "top_k_beyond_the_vocabulary",
        top_k,
        {_OFF: "if k == 0:"},
        "k is at most V.",
        "Small vocabularies exist: with k above V all stay.",
    ),
    Mutant(
        "top_k_overwrites_logits",
        top_k,
        {_CUT: "logits[logits < limit] = -np.inf\n    return logits"},
        "The logits are changed in place.",
        "They are the caller's: return a new array.",
    ),
    Mutant(
        "top_p_not_sorted",
        top_p,
        {_ORDER: "order = np.broadcast_to(np.arange(logits.shape[-1]), logits.shape)"},
        "The probabilities are added up as they come.",
        "The likely tokens stay: begin with the most likely.",
    ),
    Mutant(
        "top_p_sorted_upwards",
        top_p,
        {_ORDER: _ORDER.replace("-logits", "logits")},
        "Sorting puts the most likely first.",
        "NumPy sorts upwards.",
    ),
    Mutant(
        "top_p_not_sorted_back",
        top_p,
        {_UNSORT: "keep[...] = keep_sorted"},
        "What stays is known after sorting.",
        "Of the sorted ones: which token is the i-th of them?",
    ),
    Mutant(
        "top_p_sorted_back_by_the_same_order",
        top_p,
        {_UNSORT: "keep[...] = np.take_along_axis(keep_sorted, order, axis=-1)"},
        "Sorting twice restores the order.",
        "order says where each comes from; the way back is its inverse.",
    ),
    Mutant(
        "top_p_drops_the_crossing_token",
        top_p,
        {_KEEP_SORTED: "keep_sorted[..., 1:] = mass[..., 1:] < p"},
        "Tokens stay while their mass, together, is below p.",
        "Then less than p is left: the token that crosses p stays too.",
    ),
    Mutant(
        "top_p_may_forbid_everything",
        top_p,
        {_KEEP_SORTED: "keep_sorted = mass < p"},
        "Tokens stay while their mass, the first one's included, is below p.",
        "What is left when the first alone has more than p?",
    ),
    Mutant(
        "top_p_one_too_many",
        top_p,
        {_KEEP_SORTED: "keep_sorted[..., 2:] = mass[..., :-2] < p"},
        "The token after the one that crosses p stays as well.",
        "The smallest set that has mass p: the token that crosses p is its last.",
    ),
    Mutant(
        "top_p_sums_logits",
        top_p,
        {_MASS: _MASS.replace("probabilities(logits)", "logits")},
        "The logits are added up.",
        "p is a probability: softmax first.",
    ),
    Mutant(
        "top_p_is_a_threshold",
        top_p,
        {_UNSORT: "keep[...] = probabilities(logits) >= p"},
        "Tokens of a probability of p or more stay.",
        "p bounds the mass of all that stay together.",
    ),
    Mutant(
        "top_p_is_a_threshold_but_for_the_best",
        top_p,
        {
            _KEEP_SORTED: "keep_sorted[..., 1:] = np.take_along_axis("
            "probabilities(logits), order, axis=-1)[..., 1:] >= p"
        },
        "The best token stays, and every other of a probability of p or more.",
        "p bounds the mass of all that stay together: add up before you compare.",
    ),
    Mutant(
        "top_p_relative_to_the_best",
        top_p,
        {
            _UNSORT: "keep[...] = probabilities(logits) >= "
            "p * probabilities(logits).max(axis=-1, keepdims=True)"
        },
        "Tokens of at least p times the best probability stay.",
        "That is min-p: here p bounds the mass of all that stay together.",
    ),
    Mutant(
        "top_p_is_what_is_dropped",
        top_p,
        {_KEEP_SORTED: "keep_sorted[..., 1:] = mass[..., :-1] < 1 - p"},
        "p is the mass that is dropped.",
        "It is the mass that stays.",
    ),
    Mutant(
        "top_p_keeps_the_tail",
        top_p,
        {_KEPT: "return np.where(keep, -np.inf, logits)"},
        "The likely tokens are set to minus infinity.",
        "They are the ones that stay.",
    ),
    Mutant(
        "top_p_over_all_rows",
        top_p,
        {
            _MASS: "mass = np.cumsum(np.take_along_axis(probabilities(logits), order, axis=-1))"
            ".reshape(logits.shape)"
        },
        "The mass is added up over the whole array.",
        "Every row is a distribution of its own.",
    ),
    Mutant(
        "top_p_overflows",
        top_p,
        {
            _MASS: _MASS.replace(
                "probabilities(logits)", "(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))"
            )
        },
        "Softmax is exp divided by its sum.",
        "On paper; what is exp(1000)?",
    ),
    Mutant(
        "top_p_by_zero",
        top_p,
        {_KEPT: "return np.where(keep, logits, 0.0).astype(logits.dtype)"},
        "A logit of 0 forbids a token.",
        "exp(0) is 1: which logit has the probability 0?",
    ),
    Mutant(
        "top_p_returns_probabilities",
        top_p,
        {
            _KEPT: "logits = np.where(keep, logits, -np.inf)\n"
            "    return probabilities(logits).astype(logits.dtype)"
        },
        "What is left is normalised.",
        "A processor makes logits of logits: softmax comes at the end.",
    ),
    Mutant(
        "top_p_overwrites_logits",
        top_p,
        {_KEPT: "logits[~keep] = -np.inf\n    return logits"},
        "The logits are changed in place.",
        "They are the caller's: return a new array.",
    ),
)
