"""A head on a trunk: classes, numbers, labels, answers and rewards from any pre-trained model."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minitransformer.data import EncoderBatch
from minitransformer.errors import InputError
from minitransformer.models.bert import Bert, BertConfig, check_sequences
from minitransformer.models.gpt import GPT, GPTConfig
from minitransformer.models.head_parts import (
    ClassHead,
    Head,
    HeadCache,
    LabelHead,
    NumberHead,
    RewardHead,
    SpanHead,
)
from minitransformer.models.llama import Llama
from minitransformer.models.llama_config import LlamaConfig
from minitransformer.models.pooling import Pooling
from minitransformer.models.transformer_lm import TransformerLM, TransformerLMConfig
from minitransformer.nn import Module, flatten_parameters, generator

TrunkConfig: TypeAlias = BertConfig | GPTConfig | LlamaConfig | TransformerLMConfig
TRUNKS: dict[type[Any], type[Any]] = {
    BertConfig: Bert,
    GPTConfig: GPT,
    LlamaConfig: Llama,
    TransformerLMConfig: TransformerLM,
}
"""What a head can stand on: ``x, cache = trunk.hidden(batch, rng)``, ``trunk.backward_hidden``."""


def build_trunk(config: TrunkConfig, seed: int, dtype: DTypeLike) -> Any:
    """The trunk of a shape, untrained."""
    if type(config) not in TRUNKS:
        known = ", ".join(kind.__name__ for kind in TRUNKS)
        raise InputError(f"trunk is a {type(config).__name__}, expected one of {known}")
    return TRUNKS[type(config)](config, seed=seed, dtype=dtype)


@dataclass(frozen=True)
class HeadConfig:
    """The shape of a trunk and of the head on it.

    Raises
    ------
    InputError
        If there is no output.
    """

    trunk: TrunkConfig
    """The shape of the trunk; the head has its width and dropout."""
    outputs: int = 1
    """Number of classes or labels; other heads have as many outputs as they need."""
    pooling: Pooling = "mean"
    """What a head for the whole sequence reads: all tokens alike, the first, or the last."""

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise InputError(f"outputs is {self.outputs}, expected 1 or more")

    @property
    def vocab_size(self) -> int:
        return self.trunk.vocab_size

    @property
    def context(self) -> int:
        return self.trunk.context


@dataclass(frozen=True)
class ClassifierConfig(HeadConfig):
    """The shape of a :class:`Classifier`."""


@dataclass(frozen=True)
class RegressorConfig(HeadConfig):
    """The shape of a :class:`Regressor`."""


@dataclass(frozen=True)
class TokenLabellerConfig(HeadConfig):
    """The shape of a :class:`TokenLabeller`."""


@dataclass(frozen=True)
class SpanAnswererConfig(HeadConfig):
    """The shape of a :class:`SpanAnswerer`."""

    outputs: int = 2


@dataclass(frozen=True)
class RewardModelConfig(HeadConfig):
    """The shape of a :class:`RewardModel`."""

    pooling: Pooling = "last"


class HeadedCache(NamedTuple):
    """What the backward of a trunk with a head needs."""

    trunk: Any
    head: HeadCache
    loss: Any = None


class _Headed(Module):
    """A trunk and one head.

    Parameters
    ----------
    config
        The shape of both.
    seed
        Of the initial parameters.
    dtype
        float32, or float64 to prove gradients.
    """

    head_type: ClassVar[type[Head]]

    def __init__(self, config: HeadConfig, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        trunk = config.trunk
        self.trunk = build_trunk(trunk, seed, dtype)
        rng = generator(seed, 1)
        self.head = self.head_type(
            trunk.width, config.outputs, rng, config.pooling, trunk.dropout, dtype
        )
        flatten_parameters(self.parameters())

    def __call__(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, HeadedCache]:
        """Score a batch; its targets are not looked at.

        Parameters
        ----------
        batch
            ``inputs`` (B, T) and ``lengths`` (B,).
        rng
            Draws the dropout masks; None = no dropout.

        Raises
        ------
        InputError
            If the batch is empty, a sequence is, or one is longer than the context.
        """
        check_sequences(batch, self.config.context)
        x, trunk = self.trunk.hidden(batch, rng)
        scores, head = self.head(x, batch, rng)
        return scores, HeadedCache(trunk, head)

    def loss(
        self, batch: EncoderBatch, rng: np.random.Generator | None = None
    ) -> tuple[np.floating[Any], HeadedCache]:
        """Mean loss over the targets that are kept; dropout is on with an rng.

        Raises
        ------
        InputError
            If a target is none that the head knows.
        """
        scores, cache = self(batch, rng)
        loss, loss_cache = self.head.loss(scores, batch)
        return loss, cache._replace(loss=loss_cache)

    def backward(self, cache: HeadedCache, dloss: float = 1.0) -> None:
        """Add the gradients of all parameters, times ``dloss``."""
        dx = self.head.backward(self.head.backward_loss(dloss, cache.loss), cache.head)
        if self.trunk.learns():
            self.trunk.backward_hidden(dx, cache.trunk)


class Classifier(_Headed):
    """A class for each sequence: scores (B, outputs), targets (B,)."""

    head_type = ClassHead


class Regressor(_Headed):
    """A number for each sequence: scores (B, 1), targets (B,)."""

    head_type = NumberHead


class TokenLabeller(_Headed):
    """A label for each token: scores (B, T, outputs), targets (B, T)."""

    head_type = LabelHead


class SpanAnswerer(_Headed):
    """The part of each sequence that answers: scores (B, 2, T), targets (B, 2)."""

    head_type = SpanHead


class RewardModel(_Headed):
    """How good each sequence is: scores (B, 1); targets (B,) say which of two is better."""

    head_type = RewardHead


def best_spans(scores: NDArray[np.floating[Any]], longest: int) -> NDArray[np.int64]:
    """First and last token of the best answers that are answers at all.

    Parameters
    ----------
    scores : (B, 2, T)
        Of a :class:`SpanAnswerer`.
    longest
        Tokens that an answer may have, 1 or more.

    Returns
    -------
    (B, 2)
        The pair ``first <= last < first + longest`` whose scores have the greatest sum.
    """
    T = scores.shape[2]
    sums = scores[:, 0, :, None] + scores[:, 1, None, :]
    distance = np.arange(T) - np.arange(T)[:, None]
    sums = np.where((distance >= 0) & (distance < longest), sums, -np.inf)
    return np.stack(np.divmod(sums.reshape(len(sums), -1).argmax(axis=1), T), axis=1)
