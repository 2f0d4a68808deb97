"""How often the right label was chosen: accuracy, precision, recall and F1."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.data import IGNORE
from minitransformer.evaluation.outcomes import Outcomes
from minitransformer.ops.checks import require_integers


class Labels(Outcomes):
    """Labels that were chosen, beside the true ones: of whole texts, or of every token.

    Parameters
    ----------
    truth, predicted : N integers, or N arrays of integers
        One label for each example, or one for each token of each example. Where the truth is -100
        nothing was asked.
    names
        Of the L labels.
    background
        A label that stands for nothing, such as O where names are looked for: what is asked of
        precision, recall and F1 is about the others alone.
    groups
        What each example belongs to, such as its language.

    Raises
    ------
    ValueError
        If truth and predictions do not have the same lengths, or nothing is asked.
    IndexError
        If a label is outside of ``[0, L)``.

    Notes
    -----
    Of a label: precision = right / predicted, recall = right / true, F1 = 2 right / (predicted +
    true), their harmonic mean. "micro" counts all labels together: then frequent ones weigh more,
    and without a background all three are the accuracy. "macro" is the mean over labels. A label
    that is neither true nor predicted has no such figures and is left out; one that is never
    predicted has the precision 0, and one that is never true the recall 0.
    """

    def __init__(
        self,
        truth: Sequence[Any] | np.ndarray,
        predicted: Sequence[Any] | np.ndarray,
        names: Sequence[str],
        *,
        background: int | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.names = list(names)
        self.groups = list(groups)
        true_labels, predicted_labels, examples = _flattened(truth, predicted, len(self.names))
        size = (len(truth), len(self.names))
        right = true_labels == predicted_labels
        # (N, L): how often each label is right, true and predicted in each example
        self._right = _count(examples[right], true_labels[right], size)
        self._true = _count(examples, true_labels, size)
        self._predicted = _count(examples, predicted_labels, size)
        occurs = (self._true + self._predicted).any(axis=0)
        self._judged = [i for i in np.flatnonzero(occurs).tolist() if i != background]

    def __len__(self) -> int:
        return len(self._true)

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        times = np.bincount(rows, minlength=len(self))
        right, true, predicted = (
            times @ counts for counts in (self._right, self._true, self._predicted)
        )
        each = [
            _scores(right[i], true[i], predicted[i]) for i in self._judged if true[i] + predicted[i]
        ]
        judged = self._judged
        micro = _scores(right[judged].sum(), true[judged].sum(), predicted[judged].sum())
        macro = np.mean(each, axis=0).tolist() if each else _NOTHING
        found = {"accuracy": _share(right.sum(), true.sum())}
        found |= {f"{score} (micro)": value for score, value in zip(_SCORES, micro, strict=True)}
        found |= {f"{score} (macro)": value for score, value in zip(_SCORES, macro, strict=True)}
        for i in judged:
            own = _scores(right[i], true[i], predicted[i])
            found |= {f"{s} of {self.names[i]}": v for s, v in zip(_SCORES, own, strict=True)}
        return found


_SCORES = ("precision", "recall", "F1")
_NOTHING = (float("nan"),) * len(_SCORES)


def _scores(right: int, true: int, predicted: int) -> tuple[float, ...]:
    if not true + predicted:
        return _NOTHING
    return _share(right, predicted), _share(right, true), _share(2 * right, true + predicted)


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0


def _flattened(
    truth: Any, predicted: Any, labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All labels that are asked for, true and predicted, and the example that each belongs to."""
    lengths, other = ([np.size(one) for one in each] for each in (truth, predicted))
    if lengths != other:
        raise ValueError(
            f"labels: truth has {sum(lengths)} labels of {len(lengths)} examples and predicted "
            f"{sum(other)} of {len(other)}, expected one prediction for each true label"
        )
    flat = [np.concatenate([np.ravel(one) for one in (*each, [])]) for each in (truth, predicted)]
    true_labels, predicted_labels = (array.astype(np.int64) for array in flat)
    asked = true_labels != IGNORE
    if not asked.any():
        raise ValueError("labels: nothing is asked, expected a true label or more")
    examples = np.repeat(np.arange(len(lengths)), lengths)[asked]
    true_labels, predicted_labels = true_labels[asked], predicted_labels[asked]
    require_integers("labels", "truth", true_labels, labels)
    require_integers("labels", "predicted", predicted_labels, labels)
    return true_labels, predicted_labels, examples


def _count(examples: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    places = np.ravel_multi_index((examples, labels), size)
    return np.bincount(places, minlength=size[0] * size[1]).reshape(size)
