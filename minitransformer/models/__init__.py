"""Whole models: ``loss, cache = model.loss(batch, rng)`` and ``model.backward(cache)``."""

from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.models.model import Model

__all__ = ["GPT", "GPTConfig", "Model"]
