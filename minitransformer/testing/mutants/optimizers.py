"""Mistakes in what every optimizer does around its update rule."""

from minitransformer.optim import Optimizer
from minitransformer.testing.mutants.base import Mutant

_COUNT = "    self.t += 1\n"
_UPDATE = "        self._update("
_VECTORS = ", (border, last, 0.0))"

MUTANTS = (
    Mutant(
        "adam_t_counts_parameters",
        Optimizer.step,
        {_COUNT: "", _UPDATE: f"    {_COUNT}{_UPDATE}"},
        "t counts the updates.",
        "t counts steps: all parameters of one step have the same t.",
    ),
    Mutant(
        "adam_t_stays",
        Optimizer.step,
        {"self.t += 1": "self.t = 1"},
        "Every step is the first.",
        "t counts the steps.",
    ),
    Mutant(
        "decay_on_vectors",
        Optimizer.step,
        {_VECTORS: ", (border, last, self.weight_decay))"},
        "All parameters decay.",
        "Biases and gains of norms do not: only matrices.",
    ),
    Mutant(
        "vectors_not_updated",
        Optimizer.step,
        {_VECTORS: ",)"},
        "What does not decay need not be touched.",
        "It still has a gradient.",
    ),
)
