"""Mistakes in attention: the scale, the axes, the heads, dropout."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD = ops.attention_forward

_SCALE = "scale = 1.0 / math.sqrt(D) if scale is None else float(scale)"
_Q = "(scale * q.reshape(*group, D))"
_K = "k.swapaxes(-1, -2)"
_SCORES = f"scores = {_Q} @ {_K}"
_SOFTMAX = "_softmax_forward(scores.reshape(B, H, T, S), mask)"
_DROPPED = "dropped = probs if keep is None else drop(probs, keep, p)"
_GROUP = "group = (B, Hk, H // Hk * T)"
_Y = "y = dropped.reshape(*group, S) @ v"

MUTANTS = (
    Mutant(
        "keys_not_transposed",
        FORWARD,
        {_K: "k"},
        "The scores are q times k.",
        "A score is the inner product of a query and a key: both have D features.",
    ),
    Mutant(
        "heads_dealt_out_in_turn",
        FORWARD,
        {
            _GROUP: "k, v = np.tile(k, (1, H // Hk, 1, 1)), np.tile(v, (1, H // Hk, 1, 1))\n"
            "    group = (B, H, T)"
        },
        "Query head h reads key head h modulo the number of key heads.",
        "Neighbouring query heads share a key head: h // (H / Hk).",
    ),
    Mutant(
        "all_heads_read_the_first",
        FORWARD,
        {
            _GROUP: "k, v = (k, v) if H == Hk else (k[:, :1], v[:, :1])\n"
            "    group = (B, k.shape[1], H // k.shape[1] * T)"
        },
        "With fewer key heads all queries read the first.",
        "H / Hk neighbouring query heads share a key head: h // (H / Hk).",
    ),
    Mutant(
        "grouped_heads_not_repeated",
        FORWARD,
        {_GROUP: "group = (B, H, T)"},
        "Matrix products broadcast the key heads to the query heads.",
        "Only if there is one: 6 and 3 do not broadcast. Which key head does query head h read?",
    ),
    Mutant(
        "scale_forgotten",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0"},
        "Softmax normalises anyway, so the size of the scores does not matter.",
        "Softmax ignores a shift of the scores, not a factor.",
    ),
    Mutant(
        "scale_by_width",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0 / D"},
        "Scores grow with D, so they must be divided by D.",
        "A sum of D independent products of variance 1 has variance D; what is its size?",
    ),
    Mutant(
        "scale_inverted",
        FORWARD,
        {"1.0 / math.sqrt(D)": "math.sqrt(D)"},
        "The scores are multiplied by sqrt(D).",
        "They have grown with D: is that to be made worse or undone?",
    ),
    Mutant(
        "scale_twice",
        FORWARD,
        {_Q: "(scale * scale * q.reshape(*group, D))"},
        "Queries and keys are both scaled.",
        "Then their product is scaled twice.",
    ),
    Mutant(
        "scale_of_all_heads",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0 / math.sqrt(H * D)"},
        "The scale is that of the model's width.",
        "A score is a sum over the features of one head.",
    ),
    Mutant(
        "scale_of_the_values",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0 / math.sqrt(Dv)"},
        "The scale is that of the values' width.",
        "A score is a sum over the features of queries and keys.",
    ),
    Mutant(
        "scale_of_the_sequence",
        FORWARD,
        {"1.0 / math.sqrt(D)": "1.0 / math.sqrt(S)"},
        "The scale is that of the number of keys.",
        "Over which axis does the product of a query and a key sum?",
    ),
    Mutant(
        "scale_argument_ignored",
        FORWARD,
        {_SCALE: "scale = 1.0 / math.sqrt(D)"},
        "The scale is always 1 / sqrt(D).",
        "By default: it is an argument.",
    ),
    Mutant(
        "scale_argument_on_top",
        FORWARD,
        {_SCALE: "scale = (1.0 if scale is None else float(scale)) / math.sqrt(D)"},
        "The argument comes on top of 1 / sqrt(D).",
        "It comes in its place.",
    ),
    Mutant(
        "scale_argument_divides",
        FORWARD,
        {_SCALE: "scale = 1.0 / (math.sqrt(D) if scale is None else float(scale) or math.inf)"},
        "The scores are divided by the scale.",
        "The scale is a factor of the scores: 1 / sqrt(D) by default.",
    ),
    Mutant(
        "zero_scale_taken_for_none",
        FORWARD,
        {_SCALE: "scale = float(scale or 1.0 / math.sqrt(D))"},
        "An optional number is absent when it is falsy.",
        "0.0 is falsy too; how does one ask for None?",
    ),
    Mutant(
        "scale_after_softmax",
        FORWARD,
        {_Q: "q.reshape(*group, D)", _SOFTMAX: f"{_SOFTMAX}\n    probs = scale * probs"},
        "The attention weights are scaled.",
        "Then they no longer sum to 1: the scores are scaled, before softmax.",
    ),
    Mutant(
        "attention_softmax_forgotten",
        FORWARD,
        {_SOFTMAX: "(scores.reshape(B, H, T, S) * (True if mask is None else mask), None)"},
        "The scores are the weights.",
        "The weights of a query are positive and sum to 1.",
    ),
    Mutant(
        "softmax_over_queries",
        FORWARD,
        {
            f"probs, _ = {_SOFTMAX}": "probs = _softmax_forward(scores.reshape(B, H, T, S)"
            ".swapaxes(2, 3), None if mask is None else np.broadcast_to(mask, (B, H, T, S))"
            ".swapaxes(2, 3))[0].swapaxes(2, 3)"
        },
        "It does not matter along which axis the scores are normalised.",
        "Whose weights sum to 1: those that one query gives out, or those that one key receives?",
    ),
    Mutant(
        "softmax_over_heads",
        FORWARD,
        {
            f"probs, _ = {_SOFTMAX}": "probs = _softmax_forward(scores.reshape(B, H, T, S)"
            ".swapaxes(1, 3), None if mask is None else np.broadcast_to(mask, (B, H, T, S))"
            ".swapaxes(1, 3))[0].swapaxes(1, 3)"
        },
        "Axis 1 is the axis of the keys.",
        "Axis 1 are the heads, which do not know of each other; the keys are the last axis.",
    ),
    Mutant(
        "attention_softmax_overflows",
        FORWARD,
        {
            _SOFTMAX: "np.exp(scores.reshape(B, H, T, S)) * (True if mask is None else mask), 0\n"
            "    probs = probs / np.where(probs.sum(-1) == 0, 1, probs.sum(-1))[..., None]"
        },
        "Subtracting the maximum changes nothing, so it can be left out.",
        "It changes nothing on paper; what is exp(1000)?",
    ),
    Mutant(
        "attention_dropout_ignored",
        FORWARD,
        {_DROPPED: "dropped = probs"},
        "Dropout is the model's business, not attention's.",
        "keep is an argument of attention: which of its arrays has keep's shape?",
    ),
    Mutant(
        "attention_dropout_not_scaled",
        FORWARD,
        {_DROPPED: "dropped = probs if keep is None else np.where(keep, probs, 0)"},
        "Dropout only sets values to 0.",
        "With a share of the weights gone, what is the expected sum of those that stay?",
    ),
    Mutant(
        "attention_dropout_divided_by_p",
        FORWARD,
        {_DROPPED: "dropped = probs if keep is None else drop(probs, keep, 1.0 - p)"},
        "p is the probability of keeping.",
        "Here p is the probability of dropping: kept weights are divided by 1 - p.",
    ),
    Mutant(
        "attention_dropout_multiplied",
        FORWARD,
        {_DROPPED: "dropped = probs if keep is None else np.where(keep, probs * (1.0 - p), 0)"},
        "Kept weights are multiplied by the probability of keeping.",
        "That belongs to dropout as it was first published, at test time; here their mean stays.",
    ),
    Mutant(
        "attention_dropout_keeps_the_dropped",
        FORWARD,
        {_DROPPED: "dropped = probs if keep is None else drop(probs, ~keep, p)"},
        "The mask marks what is dropped.",
        "It is called keep: True stays.",
    ),
    Mutant(
        "attention_dropout_without_keep",
        FORWARD,
        {_DROPPED: "dropped = drop(probs, True if keep is None else keep, p)"},
        "Weights are divided by 1 - p in any case.",
        "Without keep there is no dropout, whatever p is.",
    ),
    Mutant(
        "attention_dropout_normalised_again",
        FORWARD,
        {
            _DROPPED: "dropped = probs if keep is None else np.where(keep, probs, 0)\n"
            "    total = dropped.sum(-1, keepdims=True)\n"
            "    dropped = dropped / np.where(total == 0, 1, total)"
        },
        "After dropout the weights of a query must sum to 1 again.",
        "Dropout is noise of mean 1 on every weight: kept weights are divided by 1 - p.",
    ),
    Mutant(
        "attention_dropout_before_softmax",
        FORWARD,
        {
            "(scores.reshape(B, H, T, S), mask)": (
                "(drop(scores.reshape(B, H, T, S), keep, p), mask)"
            ),
            _DROPPED: "dropped = probs",
        },
        "The scores are dropped.",
        "A score of 0 still gets a weight: drop the probabilities.",
    ),
)
