"""The masked language model: BERT learns by naming the tokens that were hidden."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minitransformer import ops
from minitransformer.data import IGNORE, EncoderBatch
from minitransformer.models.bert import NORM_EPS, Bert, BertCache, BertConfig, initial_std
from minitransformer.nn import (
    Gelu,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    flatten_parameters,
    generator,
)


class BertForMaskedLMCache(NamedTuple):
    """What the masked language model's backward needs."""

    trunk: BertCache
    shape: tuple[int, ...]  # (B, T, C)
    select: Any
    transform: Any
    activation: Any
    norm: Any
    logits: Any
    cross_entropy: Any = None


class BertForMaskedLM(Module):
    """BERT with the head that it is pre-trained with: name the tokens that were hidden.

    The output layer is the token embedding once more, with a bias of its own.

    Parameters
    ----------
    config, seed, dtype
        As of :class:`Bert`.

    References
    ----------
    Devlin et al. (2018), BERT, section 3.1, arXiv:1810.04805.
    """

    def __init__(self, config: BertConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        self.trunk = Bert(config, seed, dtype)
        rng = generator(seed, 1)
        std = initial_std(config.width)
        self.transform = Linear(config.width, config.width, rng, std=std, dtype=dtype)
        self.activation = Gelu("none")
        self.norm = LayerNorm(config.width, NORM_EPS, dtype)
        self.bias = Parameter(np.zeros(config.vocab_size, dtype))
        flatten_parameters(self.parameters())

    def __call__(
        self,
        batch: EncoderBatch,
        rng: np.random.Generator | None = None,
        places: np.ndarray | None = None,
    ) -> tuple[np.ndarray, BertForMaskedLMCache]:
        """Score every token for the places where one is asked for.

        Parameters
        ----------
        batch
            As for :meth:`Bert.hidden`.
        rng
            Draws the dropout masks; None = no dropout.
        places : (N,) integers in [0, B T), optional
            Of the positions of all rows, laid end to end; by default all of them.

        Returns
        -------
        logits : (N, V), or (B, T, V) without places
        cache : BertForMaskedLMCache
        """
        x, trunk = self.trunk.hidden(batch, rng)
        shape, select = x.shape, None
        if places is not None:
            x, select = ops.embedding_forward(places, x.reshape(-1, x.shape[-1]))
        x, transform = self.transform(x)
        x, activation = self.activation(x)
        x, norm = self.norm(x)
        logits, output = self.trunk.embeddings.tokens.logits(x, self.bias)
        return logits, BertForMaskedLMCache(
            trunk, shape, select, transform, activation, norm, output
        )

    def loss(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], BertForMaskedLMCache]:
        """Mean cross-entropy of the tokens asked for, in nats; the other positions cost nothing.

        Parameters
        ----------
        batch
            ``targets`` (B, T): the tokens asked for, -100 everywhere else.
        rng
            Draws the dropout masks; None = no dropout.
        """
        targets = batch.targets.reshape(-1)
        places = np.flatnonzero(targets != IGNORE)
        logits, cache = self(batch, rng, places)
        loss, cross_entropy = ops.cross_entropy_forward(logits, targets[places])
        return loss, cache._replace(cross_entropy=cross_entropy)

    def backward(self, cache: BertForMaskedLMCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        (dlogits,) = ops.cross_entropy_backward(dloss, cache.cross_entropy)
        dx = self.trunk.embeddings.tokens.backward_logits(dlogits, cache.logits, self.bias)
        dx = self.norm.backward(dx, cache.norm)
        dx = self.activation.backward(dx, cache.activation)
        dx = self.transform.backward(dx, cache.transform)
        (dx,) = ops.embedding_backward(dx, cache.select)
        self.trunk.backward_hidden(dx.reshape(cache.shape), cache.trunk)
