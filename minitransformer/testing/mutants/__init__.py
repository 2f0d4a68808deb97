"""Named mistakes: wrong versions of functions, which the laws must reject.

They prove that the laws can fail, and tell a student which mistake an answer makes.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from minitransformer.testing.mutants.base import Mutant, textbook

__all__ = ["MODULES", "MUTANTS", "Mutant", "mutants_of"]

MODULES = (
    *("products", "linear", "embedding", "activations", "gelu", "swiglu", "dropout", "mse"),
    *("softmax_forward", "softmax_backward", "cross_entropy_forward", "cross_entropy_backward"),
    *("label_smoothing", "layer_norm_forward", "layer_norm_parameters", "layer_norm_backward"),
    *("rms_norm", "heads", "attention_forward", "attention_masks", "attention_backward"),
    *("blocks", "rotary", "positions", "lora", "adam", "optimizers", "sgd", "clipping"),
    *("schedules", "state", "averages", "composition", "differences", "masked_tokens"),
    *("tokenizers", "filters", "min_p", "repeated_runs", "generation", "beam_search"),
)
"""The modules of this package that hold mutants, but for those of kernels, which need Numba."""

_ALL: tuple[Mutant, ...] = tuple(
    mutant
    for module in MODULES
    for mutant in import_module(f"minitransformer.testing.mutants.{module}").MUTANTS
)

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in _ALL}
"""Every mutant by name."""


def mutants_of(function: Callable[..., Any]) -> list[Mutant]:
    """List the mutants of a function, in the order in which such mistakes should be repaired.

    First those of form, such as a wrong axis, then wrong formulas, and at last rounding and
    what concerns optional arguments.
    """
    kernels = function.__module__.startswith("minitransformer.ladders")
    known = import_module(f"{__name__}.kernels").MUTANTS if kernels else MUTANTS.values()
    return [m for m in known if textbook(m.target) is textbook(function)]
