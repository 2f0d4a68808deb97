"""Mistakes in beam search."""

from minitransformer.generation import beam, beam_search
from minitransformer.testing.mutants.base import Mutant

_BEAM, _EXTEND = beam._Beam, beam._extend

_MAY_WIN = "if not _may_win(beams, finished, length, max_length, length_penalty):"
_TO_THE_END = {_MAY_WIN: "if not beams:"}
_SCORE = "self.log_probability / math.pow(len(self.tokens), length_penalty)"
_CANDIDATES = "candidates = _extend(beams, step, prefix, count=2 * width)"
_FINISHED = "finished += [beam for beam in candidates[:width] if beam.tokens[-1] == end]"
_BEAMS = "beams = [beam for beam in candidates if beam.tokens[-1] != end][:width]"
_REST = "    else:\n        finished += beams\n"
_SUMS = "beam.log_probability + _checked(step([*prefix, *beam.tokens]))"
_BEST = 'best = np.argsort(-sums, axis=None, kind="stable")[:count]'
_RETURN = "return BeamSearchResult(best.tokens, best.score(length_penalty))"
_RANGE = "range(1, max_length + 1)"

MUTANTS = (
    Mutant(
        "beam_is_greedy",
        beam_search,
        {**_TO_THE_END, _BEAMS: _BEAMS.replace("[:width]", "[:1]")},
        "The best continuation is kept.",
        "`width` of them: the best beginning may come to a bad end.",
    ),
    Mutant(
        "beam_continues_each_beam_once",
        beam_search,
        {
            **_TO_THE_END,
            _BEST: "best = sums.argmax(axis=1) + sums.shape[1] * np.arange(len(sums))\n"
            "    best = best[np.argsort(-sums.ravel()[best], kind='stable')]",
        },
        "Each beam is continued by its likeliest token.",
        "All continuations of all beams compete: how would one beam ever become several?",
        (_EXTEND,),
    ),
    Mutant(
        "beam_keeps_the_worst",
        beam_search,
        {**_TO_THE_END, "np.argsort(-sums, axis=None": "np.argsort(sums, axis=None"},
        "Sorting puts the most likely first.",
        "NumPy sorts upwards.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_forgets_the_past",
        beam_search,
        {**_TO_THE_END, _SUMS: "_checked(step([*prefix, *beam.tokens]))"},
        "A continuation is judged by its last token.",
        "By all of them: their log-probabilities add up.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_adds_probabilities",
        beam_search,
        {
            **_TO_THE_END,
            _SUMS: _SUMS.replace("_checked(", "np.exp(_checked(") + ")",
            "sums[row, token] > -np.inf": "sums[row, token] > -1",
        },
        "The probabilities of the tokens are added up.",
        "Probabilities multiply; it is their logarithms that add up.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_multiplies_log_probabilities",
        beam_search,
        {
            **_TO_THE_END,
            "_Beam([], 0.0)": "_Beam([], 1.0)",
            _SUMS: _SUMS.replace(" + _checked(", " * _checked("),
        },
        "The scores of the tokens are multiplied.",
        "Probabilities are; their logarithms add up.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_passes_the_last_token_only",
        beam_search,
        {
            **_TO_THE_END,
            _SUMS: _SUMS.replace("*beam.tokens]", "*beam.tokens][-1:]"),
        },
        "The next token depends on the last one.",
        "On all tokens so far: step takes them all.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_passes_no_start",
        beam_search,
        {**_TO_THE_END, _SUMS: _SUMS.replace("[*prefix, *beam.tokens]", "list(beam.tokens)")},
        "step takes the new tokens.",
        "And those before them: all tokens so far, start included.",
        (_EXTEND,),
    ),
    Mutant(
        "beam_ignores_the_end",
        beam_search,
        {**_TO_THE_END, _FINISHED: "pass", _BEAMS: "beams = candidates[:width]"},
        "Every hypothesis grows to max_length.",
        "One that has reached the end token is finished: it must not grow.",
    ),
    Mutant(
        "beam_finished_hypotheses_grow_on",
        beam_search,
        {**_TO_THE_END, _BEAMS: "beams = candidates[:width]"},
        "A finished hypothesis is noted down, and stays among the beams.",
        "It must not grow any more: the beams are those that have not ended.",
    ),
    Mutant(
        "beam_finished_hypotheses_are_lost",
        beam_search,
        {**_TO_THE_END, _FINISHED: "pass"},
        "A hypothesis that ends leaves the beam.",
        "It is a candidate for the answer: where is it kept?",
    ),
    Mutant(
        "beam_stops_at_the_first_end",
        beam_search,
        {**_TO_THE_END, _FINISHED: f"{_FINISHED}\n        if finished:\n            break"},
        "The search is over when a hypothesis ends.",
        "A longer one may reach a better score.",
    ),
    Mutant(
        "beam_stops_with_width_ends",
        beam_search,
        {
            **_TO_THE_END,
            _FINISHED: f"{_FINISHED}\n        if len(finished) >= width:\n            break",
        },
        "The search is over when `width` hypotheses have ended.",
        "A longer one may reach a better score: stop when none can.",
    ),
    Mutant(
        "beam_shrinks_with_each_end",
        beam_search,
        {**_TO_THE_END, _CANDIDATES: _CANDIDATES.replace("2 * width", "width")},
        "`width` candidates are enough.",
        "Some of them end: `width` that do not end are to go on.",
    ),
    Mutant(
        "beam_all_ends_count",
        beam_search,
        {**_TO_THE_END, _FINISHED: _FINISHED.replace("candidates[:width]", "candidates")},
        "Every candidate that ends is finished.",
        "Only those among the first `width`, as if the others had been dropped.",
    ),
    Mutant(
        "beam_forgets_the_unfinished",
        beam_search,
        {**_TO_THE_END, _REST: "    finished = finished or beams\n"},
        "Only finished hypotheses can win.",
        "At max_length unfinished ones compete with them.",
    ),
    Mutant(
        "beam_best_sum_wins",
        beam_search,
        {
            **_TO_THE_END,
            "max(finished, key=lambda beam: beam.score(length_penalty))": (
                "max(finished, key=lambda beam: beam.log_probability)"
            ),
        },
        "The most likely hypothesis wins.",
        "The one with the best score, which weighs the length.",
    ),
    Mutant(
        "beam_score_is_the_sum",
        beam_search,
        {**_TO_THE_END, _SCORE: "self.log_probability"},
        "The score is the sum of the log-probabilities.",
        "Long hypotheses have smaller sums: divide by the length to the power of the penalty.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_returns_the_sum",
        beam_search,
        {**_TO_THE_END, _RETURN: "return BeamSearchResult(best.tokens, best.log_probability)"},
        "The sum of the log-probabilities is returned.",
        "The score: the sum divided by the length to the power of the penalty.",
    ),
    Mutant(
        "beam_length_penalty_not_a_power",
        beam_search,
        {**_TO_THE_END, _SCORE: "self.log_probability / (len(self.tokens) * length_penalty or 1)"},
        "The sum is divided by the length times the penalty.",
        "The penalty is an exponent: 0 leaves the sum as it is.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_length_penalty_always_one",
        beam_search,
        {**_TO_THE_END, _SCORE: "self.log_probability / len(self.tokens)"},
        "The sum is divided by the length.",
        "By the length to the power of the penalty, which is 1 by default only.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_length_rewarded",
        beam_search,
        {**_TO_THE_END, _SCORE: _SCORE.replace("/", "*")},
        "The sum is multiplied by the length to the power of the penalty.",
        "Log-probabilities are negative: long hypotheses would lose once more.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_length_penalty_subtracted",
        beam_search,
        {**_TO_THE_END, _SCORE: "self.log_probability - length_penalty * len(self.tokens)"},
        "The penalty is subtracted for every token.",
        "The sum is divided by the length to the power of the penalty.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_length_counts_the_start",
        beam_search,
        {**_TO_THE_END, _SCORE: _SCORE.replace("len(self.tokens)", "len(self.tokens) + 1")},
        "The length is that of the whole text.",
        "Only new tokens count: the others have no log-probability.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_length_penalty_of_the_gnmt_paper",
        beam_search,
        {**_TO_THE_END, _SCORE: _SCORE.replace("len(self.tokens)", "(5 + len(self.tokens)) / 6")},
        "The length penalty is ((5 + length) / 6)^a.",
        "Google's was; here it is length^a.",
        (_BEAM, _EXTEND),
    ),
    Mutant(
        "beam_one_token_short",
        beam_search,
        {**_TO_THE_END, _RANGE: "range(1, max(max_length, 2))"},
        "The start token counts.",
        "max_length is the greatest number of new tokens.",
    ),
    Mutant(
        "beam_one_token_long",
        beam_search,
        {**_TO_THE_END, _RANGE: "range(1, max_length + 2)"},
        "The end token does not count.",
        "max_length is the greatest number of new tokens, the end token included.",
    ),
    Mutant(
        "beam_returns_the_start",
        beam_search,
        {**_TO_THE_END, _RETURN: _RETURN.replace("best.tokens", "[*prefix, *best.tokens]")},
        "The whole text is returned.",
        "Only the new tokens.",
    ),
    Mutant(
        "beam_returns_no_end",
        beam_search,
        {
            **_TO_THE_END,
            _RETURN: _RETURN.replace("best.tokens", "[t for t in best.tokens if t != end]"),
        },
        "The end token is not part of the text.",
        "It is part of the hypothesis, and tells that it is finished.",
    ),
)
