"""Mistakes in the repetition penalty, the temperature and the greedy choice."""

from minitransformer.generation import apply_temperature, greedy, repetition_penalty
from minitransformer.testing.mutants.base import Mutant

_SEEN = "np.put_along_axis(seen, rows, True, axis=-1)"
_PENALISED = "np.where(logits < 0, logits * penalty, logits / penalty)"
_RETURN = f"return np.where(seen, {_PENALISED}, logits)"
_COUNTS = (
    "counts = (rows[..., None] == np.arange(logits.shape[-1])).sum(axis=-2).astype(logits.dtype)\n"
    "    "
)

MUTANTS = (
    Mutant(
        "repetition_always_divides",
        repetition_penalty,
        {_PENALISED: "logits / penalty"},
        "A logit is divided by the penalty.",
        "What does dividing do to a negative logit: is it less likely then?",
    ),
    Mutant(
        "repetition_always_multiplies",
        repetition_penalty,
        {_PENALISED: "logits * penalty"},
        "A logit is multiplied by the penalty.",
        "What does multiplying do to a positive logit: is it less likely then?",
    ),
    Mutant(
        "repetition_encouraged",
        repetition_penalty,
        {_PENALISED: _PENALISED.replace("logits < 0", "logits > 0")},
        "Positive logits are multiplied and negative ones divided.",
        "Both would rise: which operation lowers which?",
    ),
    Mutant(
        "repetition_subtracts",
        repetition_penalty,
        {_PENALISED: "logits - penalty"},
        "The penalty is subtracted.",
        "That is a presence penalty; this one is a factor, and 1 changes nothing.",
    ),
    Mutant(
        "repetition_subtracts_the_logarithm",
        repetition_penalty,
        {_PENALISED: "logits - float(np.log(penalty))"},
        "Probabilities are divided by the penalty.",
        "The logits themselves are: those above 0 divided, those below 0 multiplied.",
    ),
    Mutant(
        "repetition_of_each_occurrence",
        repetition_penalty,
        {
            _RETURN: f"{_COUNTS}power = penalty**counts\n"
            "    return np.where(logits < 0, logits * power, logits / power)"
        },
        "A token is punished for every time that it was seen.",
        "Once, however often it was seen.",
    ),
    Mutant(
        "repetition_of_unseen_tokens",
        repetition_penalty,
        {"return np.where(seen,": "return np.where(~seen,"},
        "Tokens that were not seen are punished.",
        "Those that were.",
    ),
    Mutant(
        "repetition_of_all_tokens",
        repetition_penalty,
        {_SEEN: "seen[...] = True"},
        "All tokens are punished.",
        "Only those in ids.",
    ),
    Mutant(
        "repetition_of_the_last_token",
        repetition_penalty,
        {_SEEN: _SEEN.replace("rows", "rows[..., -1:]")},
        "Only the last token must not be repeated.",
        "All that were seen.",
    ),
    Mutant(
        "repetition_of_the_first_token",
        repetition_penalty,
        {_SEEN: _SEEN.replace("rows", "rows[..., :1]")},
        "Only the first token is looked at.",
        "All that were seen.",
    ),
    Mutant(
        "repetition_shared_by_all_rows",
        repetition_penalty,
        {_SEEN: "seen[..., seen_ids.ravel()] = True"},
        "What one row has seen, all have.",
        "ids may be given row by row: each row remembers its own.",
    ),
    Mutant(
        "repetition_overwrites_logits",
        repetition_penalty,
        {_RETURN: f"logits[...] = np.where(seen, {_PENALISED}, logits)\n    return logits"},
        "The logits are changed in place.",
        "They are the caller's: return a new array.",
    ),
    Mutant(
        "temperature_multiplies",
        apply_temperature,
        {"return logits / float(temperature)": "return logits * float(temperature)"},
        "Logits are multiplied by the temperature.",
        "Heat flattens: with a high temperature, must logits lie closer or further apart?",
    ),
    Mutant(
        "temperature_ignored",
        apply_temperature,
        {"return logits / float(temperature)": "return logits.copy()"},
        "The temperature does not change which token is best.",
        "It changes how likely the others are.",
    ),
    Mutant(
        "temperature_of_probabilities",
        apply_temperature,
        {
            "return logits / float(temperature)": "return (probabilities(logits) / "
            "float(temperature)).astype(logits.dtype)"
        },
        "Probabilities are divided by the temperature.",
        "The logits are, before softmax.",
    ),
    Mutant(
        "greedy_takes_the_least_likely",
        greedy,
        {"logits.argmax()": "logits.argmin()"},
        "The best logit is the smallest.",
        "The most likely token has the largest.",
    ),
    Mutant(
        "greedy_takes_the_last_of_several",
        greedy,
        {"logits.argmax()": "len(logits) - 1 - logits[::-1].argmax()"},
        "Of equally likely tokens any will do.",
        "It will, but the first was agreed on, so that results can be repeated.",
    ),
    Mutant(
        "greedy_takes_the_largest_size",
        greedy,
        {"logits.argmax()": "np.abs(np.nan_to_num(logits, neginf=0.0)).argmax()"},
        "The best logit is the one furthest from 0.",
        "A very negative logit is very unlikely.",
    ),
)
