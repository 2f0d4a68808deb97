"""Mistakes in what every optimizer does around its update rule."""

from minitransformer.optim import Optimizer
from minitransformer.testing.mutants.base import Mutant

_VECTORS = "self._update(flat, slice(flat.decayed, None), 0.0)"

MUTANTS = (
    Mutant(
        "adam_t_counts_parameters",
        Optimizer.step,
        {_VECTORS: f"self.t += 1\n    {_VECTORS}"},
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
        {"slice(flat.decayed, None), 0.0": "slice(flat.decayed, None), self.weight_decay"},
        "All parameters decay.",
        "Biases and gains of norms do not: only matrices.",
    ),
    Mutant(
        "vectors_not_updated",
        Optimizer.step,
        {_VECTORS: "pass"},
        "What does not decay need not be touched.",
        "It still has a gradient.",
    ),
)
