"""What an exercise is: some of the library's functions, and how to talk about them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["function", "numba", "cuda", "test"]


@dataclass(frozen=True)
class Exercise:
    """One task: the library's functions are the solution, and their specification is the judge.

    Attributes
    ----------
    id : str
        Name of the exercise and of its file: usually the name of the function to write.
    unit : str
        What it belongs to, as ``"layer_norm"``.
    title : str
        A few words.
    functions : tuple of callable
        The library's functions that the answer defines under the same names. The last one is
        judged: as one half of an op by ``testing.SPECS``, else by ``testing.FUNCTIONS``. The
        others may stand in the answer, and are neither required nor allowed to be called from
        the library.
    goal, formula, example : str
        What to write, in words, in mathematics, and worked out with small numbers.
    hints : tuple of str
        They open one by one, from a nudge to the last step before the solution.
    points : float
        What a right answer earns.
    kind : {"function", "numba", "cuda", "test"}
        What the answer may use: NumPy alone; Numba; Numba's CUDA simulator. The answer to a
        ``"test"`` is a function that is called with the functions ``on_trial``, raises
        AssertionError if they are wrong, and is judged by the mutants that it kills.
    on_trial : tuple of callable
        What a submitted test is called with, in this order; the last may be a wrong version.
    """

    id: str
    unit: str
    title: str
    functions: tuple[Callable[..., Any], ...]
    goal: str
    formula: str
    example: str
    hints: tuple[str, ...]
    points: float = 1
    kind: Kind = "function"
    on_trial: tuple[Callable[..., Any], ...] = ()

    @property
    def function(self) -> Callable[..., Any]:
        """The function that is judged."""
        return self.functions[-1]
