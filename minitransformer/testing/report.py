"""The verdict on a gradient, made to be read."""

from collections.abc import Mapping
from dataclasses import dataclass

from minitransformer.testing.diagnosis import Explanation


class GradientError(AssertionError):
    """A gradient is wrong; the message is the printed report."""


@dataclass(frozen=True)
class Failure:
    """One thing that is wrong.

    Attributes
    ----------
    argument : str or None
        The argument of forward concerned; None for a fault of the pair as a whole.
    explanation : Explanation
        Name of the mistake and a sentence about it.
    index : tuple of int or None
        The first wrong entry, where entries were compared.
    analytic, numeric : float or None
        What backward returned there, and what finite differences give.
    relative_error : float or None
        Their difference relative to the largest entry of the true gradient.
    """

    argument: str | None
    explanation: Explanation
    index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    relative_error: float | None = None

    def __str__(self) -> str:
        if self.analytic is None:
            return str(self.explanation)
        entry = f"d{self.argument}{list(self.index) if self.index else ''}"
        place = f"<d{self.argument}, v>, v random," if self.index is None else entry
        return (
            f"{place} is {self.analytic:.9g}, but finite differences give {self.numeric:.9g} "
            f"(relative error {self.relative_error:.1e})\n    {self.explanation}"
        )


@dataclass(frozen=True)
class GradcheckReport:
    """The verdict on one forward/backward pair.

    Attributes
    ----------
    op : str
        Name of the op.
    errors : mapping of str to float
        Worst relative error of each differentiable argument's gradient; inf if there was nothing
        to compare.
    failures : tuple of Failure
        What is wrong, in the order in which it should be repaired; empty when all is right.
    """

    op: str
    errors: Mapping[str, float]
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    def failed(self, argument: str) -> bool:
        """Whether one argument's gradient is wrong or could not be compared."""
        return argument not in self.errors or any(f.argument == argument for f in self.failures)

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report if anything is wrong."""
        if self.failures:
            raise GradientError(str(self))

    def __str__(self) -> str:
        verdict = "gradients are right" if self.passed else f"{len(self.failures)} wrong"
        lines = [f"{self.op}: {verdict}"]
        width = max(map(len, self.errors))
        lines += [f"  d{name:<{width}}  {error:.1e}" for name, error in self.errors.items()]
        lines += [f"  {failure}" for failure in self.failures]
        return "\n".join(lines)
