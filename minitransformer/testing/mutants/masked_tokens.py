"""Mistakes in corrupting text for a masked language model."""

from minitransformer.data import mask_tokens
from minitransformer.testing.mutants.base import Mutant

_HIDDEN = "inputs = np.where(chosen & (action < 8), mask_id, tokens)"
_EXCHANGED = "inputs = np.where(chosen & (action == 8), random_ids.astype(np.int64), inputs)"
_MASKED = "return MaskedTokens(inputs, np.where(chosen, tokens, IGNORE))"

MUTANTS = (
    Mutant(
        "targets_at_all_positions",
        mask_tokens,
        {"np.where(chosen, tokens, IGNORE)": "tokens"},
        "The target is the whole text.",
        "Where nothing was hidden there is nothing to learn but copying: what do those positions "
        "get?",
    ),
    Mutant(
        "targets_ignored_by_zero",
        mask_tokens,
        {"np.where(chosen, tokens, IGNORE)": "np.where(chosen, tokens, 0)"},
        "A target of 0 is not asked for.",
        "0 is a token like any other; which number can no token have?",
    ),
    Mutant(
        "actions_counted_from_one",
        mask_tokens,
        {"action < 8": "action <= 8", "action == 8": "action == 9"},
        "Actions run from 1 to 10.",
        "From 0 to 9: how many of them are hidden by your line?",
    ),
    Mutant(
        "targets_only_where_hidden",
        mask_tokens,
        {"np.where(chosen, tokens, IGNORE)": "np.where(chosen & (action < 8), tokens, IGNORE)"},
        "The model is asked for the tokens that it cannot see.",
        "It is asked for every chosen token, also for those that were exchanged or left.",
    ),
    Mutant(
        "targets_of_corrupted_text",
        mask_tokens,
        {"np.where(chosen, tokens, IGNORE)": "np.where(chosen, inputs, IGNORE)"},
        "Targets are taken from what the model sees.",
        "It should find out what stood there before.",
    ),
    Mutant(
        "all_chosen_are_hidden",
        mask_tokens,
        {
            "chosen & (action < 8)": "chosen",
            "chosen & (action == 8)": "np.zeros_like(chosen)",
        },
        "A chosen token is replaced by the mask.",
        "Eight times out of ten; what happens to the other two?",
    ),
    Mutant(
        "exchanged_for_the_rest",
        mask_tokens,
        {"chosen & (action == 8)": "chosen & (action >= 8)"},
        "What is not hidden is exchanged.",
        "One tenth is left as it is, so that the model also trusts what it sees.",
    ),
    Mutant(
        "corrupted_where_not_chosen",
        mask_tokens,
        {"chosen & (action == 8)": "action == 8"},
        "A tenth of all tokens is exchanged.",
        "A tenth of the chosen ones; the others are context.",
    ),
    Mutant(
        "mask_exchanges_none",
        mask_tokens,
        {_EXCHANGED: "pass"},
        "Chosen tokens are hidden or left as they are.",
        "One tenth is exchanged for random ids.",
    ),
    Mutant(
        "mask_nine_tenths",
        mask_tokens,
        {_HIDDEN: _HIDDEN.replace("action < 8", "action <= 8"), _EXCHANGED: "pass"},
        "Actions up to 8 hide.",
        "Below 8: 8 exchanges.",
    ),
    Mutant(
        "mask_hides_unchosen_tokens",
        mask_tokens,
        {_HIDDEN: _HIDDEN.replace("chosen & ", "")},
        "Eight actions of ten hide a token.",
        "Only a chosen one.",
    ),
    Mutant(
        "mask_actions_on_all_tokens",
        mask_tokens,
        {
            _HIDDEN: _HIDDEN.replace("chosen & ", ""),
            _EXCHANGED: _EXCHANGED.replace("chosen & ", ""),
        },
        "The action tells what is done to a token.",
        "Only to a chosen one.",
    ),
    Mutant(
        "mask_targets_where_hidden",
        mask_tokens,
        {_MASKED: "return MaskedTokens(inputs, np.where(inputs != tokens, tokens, IGNORE))"},
        "The model is asked for tokens that were changed.",
        "For all that were chosen, also those that were left as they are.",
    ),
    Mutant(
        "mask_targets_of_the_others",
        mask_tokens,
        {_MASKED: "return MaskedTokens(inputs, np.where(chosen, IGNORE, tokens))"},
        "The model is asked for the tokens that it sees.",
        "For the chosen ones.",
    ),
    Mutant(
        "mask_inputs_and_targets_swapped",
        mask_tokens,
        {_MASKED: "return MaskedTokens(np.where(chosen, tokens, IGNORE), inputs)"},
        "First the targets, then the inputs.",
        "MaskedTokens names them: inputs, targets.",
    ),
)
