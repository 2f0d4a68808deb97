"""Prefix language modelling: read the beginning in both directions, then name what follows."""

from typing import Any, ClassVar

import numpy as np

from minitransformer.data import IGNORE, Batch, objective_rng, prefix_lm_batch, split_batch
from minitransformer.tasks.base import DECODERS
from minitransformer.tasks.windows import WindowsTask


class PrefixTextTask(WindowsTask):
    """What follows the beginning of a window; any language model can learn it.

    The beginning, of random length, is read in both directions; behind it every token sees only
    what stands before it.
    """

    architectures: ClassVar[tuple[str, ...]] = DECODERS

    def ask(self, windows: Batch, step: int) -> Batch:
        return prefix_lm_batch(windows, objective_rng(self.config.seed, step))

    def example(self, model: Any, length: int) -> str:
        """The beginning of a window, and behind it the tokens that the model finds likeliest."""
        row: Any = split_batch(next(self.validation(1)), self.config.batch)[0]
        logits, _ = model(row.inputs, mask=row.mask)
        asked = row.targets[0] != IGNORE
        likeliest = logits[0].argmax(axis=-1)[asked]
        prefix = row.inputs[0, : len(asked) - np.count_nonzero(asked) + 1]
        decode = self.tokenizer.decode
        return f"{decode(prefix.tolist())}\n\n→\n\n{decode(likeliest[:length].tolist())}"
