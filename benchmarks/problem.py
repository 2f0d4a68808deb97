"""The task that all contestants solve: the same shapes, weights, batches and optimizer settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from benchmarks.evidence import Array
from minitransformer.data import Batch, Tokens, sample_batch
from minitransformer.models import GPT, GPTConfig

LEARNING_RATE, BETAS, EPS = 1e-3, (0.9, 0.99), 1e-8
TEXT_LENGTH = 100_000
VALIDATION_STEPS = 4


@dataclass(frozen=True)
class Size:
    """A model and its batches."""

    model: GPTConfig
    batch: int
    length: int
    """Tokens in each sequence, T."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Undo ``dataclasses.asdict``."""
        return cls(GPTConfig(**settings["model"]), settings["batch"], settings["length"])

    @property
    def weights(self) -> int:
        """Of all matrices that a token is multiplied with."""
        c = self.model
        return c.layers * 12 * c.width**2 + c.vocab_size * c.width

    @property
    def multiply_adds(self) -> int:
        """Of all matrix products of a training step: forward, and twice that backward.

        Attention counts the half of its scores that causality leaves.
        """
        c = self.model
        tokens = self.batch * self.length
        attention = c.layers * 2 * c.width * (self.length + 1) // 2
        return 3 * tokens * (self.weights + attention)


SIZES = {
    "small": Size(GPTConfig(97, context=64, layers=4, heads=4, width=128), batch=12, length=64),
    "mid": Size(GPTConfig(97, context=256, layers=6, heads=6, width=384), batch=8, length=256),
    "gpt2": Size(
        GPTConfig(50257, context=1024, layers=12, heads=12, width=768), batch=4, length=64
    ),
}


@dataclass(frozen=True)
class Problem:
    """Training a GPT of a given size on a text of random words."""

    size: Size
    weight_decay: float = 0.1
    """Of matrices."""
    clip: float = 1.0
    """Greatest length of the gradient."""

    @cached_property
    def tokens(self) -> Tokens:
        """Frequent and rare tokens, so that there is something to learn."""
        words = np.random.default_rng(0).zipf(1.3, TEXT_LENGTH)
        return (words % self.size.model.vocab_size).astype(np.uint16)

    def batch(self, index: int) -> Batch:
        """The batch of one step, cut out anew each time as in real training."""
        return sample_batch(self.tokens, self.size.batch, self.size.length, 0, index)

    def inputs_and_targets(self, index: int) -> tuple[Array, Array]:
        """The same batch for other programs: tokens (batch, length), and those that come next."""
        batch = self.batch(index)
        return batch.inputs, batch.targets

    def model(self, dtype: type[np.floating] = np.float32) -> GPT:
        """Our model with the weights that every contestant begins with.

        Biases and gains are random too: at 0 and 1 a contestant without them would go unnoticed.
        """
        model = GPT(self.size.model, seed=0, dtype=dtype)
        rng = np.random.default_rng(1)
        for parameter in model.parameters():
            if parameter.data.ndim == 1:
                parameter.data += 0.1 * rng.standard_normal(parameter.shape).astype(np.float32)
        return model

    def parameters(self) -> dict[str, Array]:
        """The weights by our names; matrices are (in, out)."""
        return self.model().state_dict()
