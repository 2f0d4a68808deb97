"""Name the mistake: try known explanations on the whole of a wrong gradient.

An explanation is a function ``Evidence -> sentence | None``. Its name is the name of the mistake.
It must account for *every* entry of the gradient, so a coincidence is next to impossible. The
first that does, from the simplest to the most elaborate, is the diagnosis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minitransformer.testing.evidence import Evidence
from minitransformer.testing.explanations import (
    broadcast_not_summed,
    constant_ratio,
    dtype_lost,
    dy_ignored,
    factor_outside_mean,
    group_not_summed,
    missing_constant_term,
    nearly_right,
    not_linear_in_dy,
    should_be_zero,
    swapped_arguments,
    transposed,
    vacuous,
    wrong_contribution,
    wrong_factor,
    wrong_shape,
    zero,
)
from minitransformer.testing.explanations_in_part import (
    leaks_into_masked,
    mask_inverted,
    repeated_ids,
    right_only_when,
    sign_flipped_in_part,
    unknown,
    wrong_only_where_masked,
    wrong_where_not_sampled,
)

Explain = Callable[[Evidence], str | None]

OF_SHAPE: tuple[Explain, ...] = (
    transposed,
    swapped_arguments,
    broadcast_not_summed,
    group_not_summed,
    wrong_shape,
)
OF_ZERO: tuple[Explain, ...] = (
    vacuous,
    should_be_zero,
)
OF_VALUES: tuple[Explain, ...] = (
    dy_ignored,
    zero,
    wrong_where_not_sampled,
    dtype_lost,
    nearly_right,
    constant_ratio,
    transposed,
    swapped_arguments,
    sign_flipped_in_part,
    mask_inverted,
    leaks_into_masked,
    wrong_only_where_masked,
    repeated_ids,
    wrong_factor,
    wrong_contribution,
    not_linear_in_dy,
    factor_outside_mean,
    missing_constant_term,
    right_only_when,
    unknown,
)


@dataclass(frozen=True)
class Explanation:
    """The name of a mistake and one sentence about it in a teacher's words."""

    name: str
    sentence: str

    def with_condition(self, right_when: Sequence[str]) -> "Explanation":
        """Add for which other inputs all is right."""
        if not right_when:
            return self
        return replace(self, sentence=f"{self.sentence} (right when {' or '.join(right_when)})")

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


def diagnose(evidence: Evidence) -> Explanation:
    """Find the simplest known mistake that explains a wrong gradient completely."""
    if evidence.analytic.shape != evidence.numeric.shape:
        known = OF_SHAPE
    else:
        known = OF_ZERO if evidence.is_zero else OF_VALUES
    sentences = ((explain.__name__, explain(evidence)) for explain in known)
    name, sentence = next((name, sentence) for name, sentence in sentences if sentence)
    explanation = Explanation(name, sentence)
    right_when = () if name == "right_only_when" else evidence.right_when
    return explanation.with_condition(right_when)
