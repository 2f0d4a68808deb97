"""From times to the few numbers that are told: medians, ratios with their spread, exponents."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    """How many times longer one contestant takes than another."""

    median: float
    low: float
    """Quarter of the rounds lie below."""
    high: float
    """Quarter of the rounds lie above."""

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def median_of_rounds(rounds: Sequence[Sequence[float]]) -> float:
    """Median of all steps, whichever round they were taken in."""
    return statistics.median(seconds for steps in rounds for seconds in steps)


def least_of_rounds(rounds: Sequence[Sequence[float]]) -> float:
    """Time of the fastest step of all."""
    return min(seconds for steps in rounds for seconds in steps)


def ratio_of_rounds(theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> Ratio:
    """Ratio of medians round by round: what slows a whole round down cancels.

    Raises
    ------
    ValueError
        If the numbers of rounds differ.
    """
    ratios = [
        statistics.median(their_steps) / statistics.median(our_steps)
        for their_steps, our_steps in zip(theirs, ours, strict=True)
    ]
    if len(ratios) == 1:
        return Ratio(*ratios * 3)
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, low, high)


def geometric_mean(ratios: Sequence[float]) -> float:
    """Mean of ratios that does not depend on which way round they are taken."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def fitted_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent p of ``cost = a size^p``, by least squares on logarithms.

    1 is linear growth, 2 quadratic.
    """
    line = statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    )
    return line.slope
