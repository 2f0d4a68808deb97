"""How near predicted numbers are, and how often the better of two gets the higher reward."""

from collections.abc import Sequence

import numpy as np

from minitransformer.evaluation.outcomes import Outcomes


class Numbers(Outcomes):
    """Numbers that a model predicted, beside the true ones.

    Parameters
    ----------
    truth, predicted : (N,)
        Finite.
    groups
        What each example belongs to, such as its language.

    Raises
    ------
    ValueError
        If there are not as many predictions as true numbers, or one is not finite.

    Notes
    -----
    R2 is the share of the variance that is explained: 1 if all is right, 0 for who always says the
    mean, below 0 for who is worse. The correlation (Pearson's) forgives a wrong unit and a wrong
    zero. Neither is defined where all true numbers are the same.
    """

    def __init__(
        self,
        truth: Sequence[float] | np.ndarray,
        predicted: Sequence[float] | np.ndarray,
        *,
        groups: Sequence[str] = (),
    ) -> None:
        self.truth, self.predicted = (np.asarray(x, np.float64) for x in (truth, predicted))
        self.groups = list(groups)
        if self.truth.shape != self.predicted.shape or self.truth.ndim != 1:
            raise ValueError(
                f"numbers: truth has shape {self.truth.shape} and predicted "
                f"{self.predicted.shape}, expected (N,) for both"
            )
        if not np.isfinite([self.truth, self.predicted]).all():
            raise ValueError("numbers: one is NaN or infinite, expected finite ones")

    def __len__(self) -> int:
        return len(self.truth)

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        truth, predicted = self.truth[rows], self.predicted[rows]
        error, spread = predicted - truth, truth - truth.mean()
        squares = spread @ spread
        return {
            "mean absolute error": float(np.abs(error).mean()),
            "root mean squared error": float(np.sqrt(np.mean(error**2))),
            "R2": float(1.0 - error @ error / squares) if squares else float("nan"),
            "correlation": _correlation(spread, predicted - predicted.mean()),
        }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two vectors of mean 0."""
    lengths = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / lengths) if lengths else float("nan")


class Preferences(Outcomes):
    """Rewards that a model gave to the better and to the worse of two.

    Parameters
    ----------
    better, worse : (N,)
        Finite; one of each for every pair.

    Raises
    ------
    ValueError
        If there are not as many of both, or one is not finite.

    Notes
    -----
    The loss is what a reward model learns from, ``-log sigmoid(better - worse)``; a model that
    cannot tell has ln 2. Half a point for a tie.
    """

    def __init__(
        self, better: Sequence[float] | np.ndarray, worse: Sequence[float] | np.ndarray
    ) -> None:
        first, second = (np.asarray(x, np.float64) for x in (better, worse))
        if first.shape != second.shape or first.ndim != 1:
            raise ValueError(
                f"preferences: better has shape {first.shape} and worse {second.shape}, expected "
                "(N,) for both"
            )
        self.margins = first - second
        if not np.isfinite(self.margins).all():
            raise ValueError("preferences: one is NaN or infinite, expected finite ones")

    def __len__(self) -> int:
        return len(self.margins)

    def measure(self, rows: np.ndarray) -> dict[str, float]:
        margins = self.margins[rows]
        return {
            "pairs right": float(np.mean((margins > 0) + 0.5 * (margins == 0))),
            "margin": float(margins.mean()),
            "loss": float(np.logaddexp(0.0, -margins).mean()),
        }
