"""Named mistakes: wrong versions of functions, which the laws must reject.

They prove that the laws can fail, and tell a student which mistake an answer makes.
"""

from minitransformer.testing.mutants.attention import ATTENTION
from minitransformer.testing.mutants.base import Mutant
from minitransformer.testing.mutants.layers import LAYERS
from minitransformer.testing.mutants.losses import LOSSES
from minitransformer.testing.mutants.rows import ROWS
from minitransformer.testing.mutants.training import TRAINING

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant for mutant in (*LAYERS, *ROWS, *ATTENTION, *LOSSES, *TRAINING)
}
"""Every mutant by name."""
