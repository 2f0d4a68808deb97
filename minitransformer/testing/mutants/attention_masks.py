"""Mistakes in the masks of attention."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, CAUSAL_MASK = ops.attention_forward, ops.causal_mask

_CAUSAL = "mask = causal_mask(T, S) if mask is None else mask & causal_mask(T, S)"
_SOFTMAX = "_softmax_forward(scores.reshape(B, H, T, S), mask)"
_SCORES = "scores.reshape(B, H, T, S)"
_TRI = "np.tri(T, S, S - T, dtype=np.bool_)"


def _causal(mask: str) -> dict[str, str]:
    """Replace the causal mask by another one."""
    return {_CAUSAL: f"mask = {mask} & (True if mask is None else mask)"}


MUTANTS = (
    Mutant(
        "causal_ignored",
        FORWARD,
        {_CAUSAL: "pass"},
        "The caller's mask hides the future.",
        "causal=True asks attention itself to do so.",
    ),
    Mutant(
        "causal_always",
        FORWARD,
        {"if causal:": "if True:"},
        "Attention is causal.",
        "Only with causal=True: an encoder looks both ways.",
    ),
    Mutant(
        "mask_upper_triangular",
        FORWARD,
        _causal("np.tri(S, T, T - S, dtype=bool).T"),
        "A causal mask is the upper triangle.",
        "Row t is a query: which keys may the very first query see?",
    ),
    Mutant(
        "causal_inverted",
        FORWARD,
        _causal("~causal_mask(T, S)"),
        "The mask marks the future, which is to be hidden.",
        "Here True means: may attend. Which keys may the very first query see?",
    ),
    Mutant(
        "causal_aligned_top_left",
        FORWARD,
        _causal("np.tri(T, S, dtype=bool)"),
        "Query t is always at position t.",
        "With S - T keys from earlier tokens in front, at which position is the first query?",
    ),
    Mutant(
        "causal_shifted_the_wrong_way",
        FORWARD,
        _causal("np.tri(T, S, T - S, dtype=bool)"),
        "The diagonal is shifted by T - S.",
        "With S > T the last query must see all S keys: does it?",
    ),
    Mutant(
        "causal_hides_the_present",
        FORWARD,
        _causal("np.tri(T, S, S - T - 1, dtype=bool)"),
        "A token must not see itself, or the task would be too easy.",
        "What is predicted at position t is token t + 1; may token t be used for that?",
    ),
    Mutant(
        "causal_shows_the_next_token",
        FORWARD,
        _causal("np.tri(T, S, S - T + 1, dtype=bool)"),
        "The diagonal above the main one is still allowed.",
        "It is the very token that is to be predicted.",
    ),
    Mutant(
        "causal_replaces_the_mask",
        FORWARD,
        {_CAUSAL: "mask = causal_mask(T, S)"},
        "Causal attention needs no other mask.",
        "Padding is still to be hidden: how do two masks combine?",
    ),
    Mutant(
        "mask_replaces_causal",
        FORWARD,
        {_CAUSAL: "mask = causal_mask(T, S) if mask is None else mask"},
        "Who brings a mask has hidden the future already.",
        "mask and causal may be given both: how do they combine?",
    ),
    Mutant(
        "masks_joined_by_or",
        FORWARD,
        {"mask & causal_mask(T, S)": "mask | causal_mask(T, S)"},
        "Two masks are joined by or.",
        "True means: may attend. A key must be allowed by both.",
    ),
    Mutant(
        "mask_ignored",
        FORWARD,
        {"    if causal:": "    mask = None\n    if causal:"},
        "causal is the only mask there is.",
        "mask is an argument too: padding is to be hidden.",
    ),
    Mutant(
        "mask_inverted",
        FORWARD,
        {_SOFTMAX: _SOFTMAX.replace("mask)", "None if mask is None else ~mask)")},
        "True in a mask means masked out.",
        "Here True means: may attend. Try a mask with a single True.",
    ),
    Mutant(
        "mask_added_to_the_scores",
        FORWARD,
        {_SOFTMAX: f"_softmax_forward({_SCORES} + (0 if mask is None else mask))"},
        "A mask is added to the scores.",
        "A mask of 0 and minus infinity is; this one is boolean, and True counts as 1.",
    ),
    Mutant(
        "mask_sets_scores_to_zero",
        FORWARD,
        {_SOFTMAX: f"_softmax_forward({_SCORES} * (True if mask is None else mask))"},
        "A score of 0 means no attention.",
        "exp(0) is 1; which score has the weight 0?",
    ),
    Mutant(
        "mask_by_minus_1e9",
        FORWARD,
        {
            _SOFTMAX: f"_softmax_forward({_SCORES} if mask is None else "
            f"np.where(mask, {_SCORES}, -1e9).astype(q.dtype))"
        },
        "-1e9 is as good as minus infinity.",
        "What does a query get that may attend to nothing, when all its scores are -1e9?",
    ),
    Mutant(
        "mask_subtracts_1e9",
        FORWARD,
        {
            _SOFTMAX: f"_softmax_forward({_SCORES} if mask is None else "
            f"{_SCORES} - (1e9 * ~mask).astype(q.dtype))"
        },
        "Subtracting 1e9 is as good as minus infinity.",
        "What does a query get that may attend to nothing, when all its scores lose 1e9?",
    ),
    Mutant(
        "mask_after_softmax",
        FORWARD,
        {
            f"probs, _ = {_SOFTMAX}": f"probs, _ = _softmax_forward({_SCORES})\n"
            "    probs = probs if mask is None else probs * mask"
        },
        "Hiding a position means setting its probability to 0.",
        "What do the remaining probabilities of a row sum to?",
    ),
    Mutant(
        "attention_masked_rows_are_nan",
        FORWARD,
        {
            _SOFTMAX: f"{_SOFTMAX}\n    if mask is not None:\n"
            "        probs = np.where(mask.any(-1, keepdims=True), probs, np.nan).astype(q.dtype)"
        },
        "A query always has a key to attend to.",
        "In a padded batch it may not: 0 / 0 is NaN, and NaN spreads.",
    ),
    Mutant(
        "causal_mask_upper_triangular",
        CAUSAL_MASK,
        {_TRI: "np.tri(S, T, T - S, dtype=np.bool_).T"},
        "A causal mask is the upper triangle.",
        "Row t is a query: which keys may the very first query see?",
    ),
    Mutant(
        "causal_mask_inverted",
        CAUSAL_MASK,
        {_TRI: f"~{_TRI}"},
        "The mask marks the future, which is to be hidden.",
        "Here True means: may attend. Which keys may the very first query see?",
    ),
    Mutant(
        "causal_mask_aligned_top_left",
        CAUSAL_MASK,
        {_TRI: "np.tri(T, S, dtype=np.bool_)"},
        "Query t is always at position t.",
        "With S - T keys from earlier tokens in front, at which position is the first query?",
    ),
    Mutant(
        "causal_mask_shifted_the_wrong_way",
        CAUSAL_MASK,
        {_TRI: "np.tri(T, S, T - S, dtype=np.bool_)"},
        "The diagonal is shifted by T - S.",
        "With S > T the last query must see all S keys: does it?",
    ),
    Mutant(
        "causal_mask_hides_the_present",
        CAUSAL_MASK,
        {_TRI: "np.tri(T, S, S - T - 1, dtype=np.bool_)"},
        "A token must not see itself, or the task would be too easy.",
        "What is predicted at position t is token t + 1; may token t be used for that?",
    ),
    Mutant(
        "causal_mask_shows_the_next_token",
        CAUSAL_MASK,
        {_TRI: "np.tri(T, S, S - T + 1, dtype=np.bool_)"},
        "The diagonal above the main one is still allowed.",
        "It is the very token that is to be predicted.",
    ),
    Mutant(
        "causal_mask_transposed",
        CAUSAL_MASK,
        {_TRI: "np.tri(S, T, T - S, dtype=np.bool_)"},
        "The keys are the rows.",
        "The mask is (T, S): a row for each query.",
    ),
    Mutant(
        "causal_mask_square",
        CAUSAL_MASK,
        {_TRI: "np.tri(S, S, dtype=np.bool_)"},
        "There are as many queries as keys.",
        "Not in generation: T new queries meet S keys.",
    ),
    Mutant(
        "causal_mask_of_scores",
        CAUSAL_MASK,
        {_TRI: f"np.where({_TRI}, 0.0, -np.inf)"},
        "A mask holds 0 and minus infinity, to be added to the scores.",
        "Here masks are boolean: True = may attend.",
    ),
)
