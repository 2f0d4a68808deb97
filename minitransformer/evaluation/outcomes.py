"""What a model made of examples, one by one, and how sure its metrics are."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Outcomes(ABC):
    """What a model made of N examples: all that metrics are computed from.

    Attributes
    ----------
    groups : sequence of str
        What each example belongs to, such as its language; empty if there are no groups.
    """

    groups: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples N."""

    @abstractmethod
    def measure(self, rows: np.ndarray) -> dict[str, float]:
        """Metrics of the chosen examples, by name.

        Parameters
        ----------
        rows : (M,) integers in [0, N)
            Examples, one or more; one that is named twice counts twice. What these examples do not
            tell may be left out.
        """


class Measure(NamedTuple):
    """A metric, and between what bounds it would lie on other examples of the same kind."""

    name: str
    value: float
    low: float
    high: float


def measures(
    outcomes: Outcomes, seed: int = 0, *, resamples: int = 1000, confidence: float = 0.95
) -> list[Measure]:
    """Every metric, with its bootstrap confidence interval.

    The examples at hand are drawn from all that there could be; the bootstrap imitates this by
    drawing as many of them again, with replacement, and looks how far each metric moves. Examples
    are taken to be independent of each other.

    Parameters
    ----------
    outcomes
        Of one example or more.
    seed
        Of the resamples.
    resamples
        How often to draw again.
    confidence
        Share of the resamples whose metric lies inside the interval.

    Raises
    ------
    ValueError
        If there is no example, or an option is out of range.

    Notes
    -----
    Where all examples are alike, as at an accuracy of 100%, so are all resamples, and the interval
    has no width. Of N right ones it is still possible that 3/N of all others are wrong.

    References
    ----------
    Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    return _measures(outcomes, np.arange(len(outcomes)), seed, resamples, confidence)


def measures_by_group(
    outcomes: Outcomes, seed: int = 0, *, resamples: int = 1000, confidence: float = 0.95
) -> dict[str, list[Measure]]:
    """:func:`measures` of the examples of each group alone, groups in alphabetical order."""
    groups = np.asarray(outcomes.groups)
    return {
        str(group): _measures(
            outcomes, np.flatnonzero(groups == group), seed, resamples, confidence
        )
        for group in np.unique(groups)
    }


def _measures(
    outcomes: Outcomes, rows: np.ndarray, seed: int, resamples: int, confidence: float
) -> list[Measure]:
    if not len(rows):
        raise ValueError("measures: there are no examples, expected one or more")
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(
            f"measures: resamples is {resamples} and confidence {confidence}, expected 1 or more "
            "and 0 < confidence < 1"
        )
    rng = np.random.default_rng(seed)
    values = outcomes.measure(rows)
    again = [outcomes.measure(rng.choice(rows, len(rows))) for _ in range(resamples)]
    tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
    return [
        Measure(name, value, *_quantiles([metrics.get(name, np.nan) for metrics in again], tails))
        for name, value in values.items()
    ]


def _quantiles(values: list[float], tails: list[float]) -> list[float]:
    """Bounds of what is known; infinite values are ordered like others, NaN is left out."""
    known = np.sort([value for value in values if not np.isnan(value)])
    if not len(known):
        return [float("nan")] * len(tails)
    return [float(known[round(tail * (len(known) - 1))]) for tail in tails]
