"""Tiny BERTs, and every head on a trunk, with batches of ragged sequences for them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from minitransformer.data import IGNORE, EncoderBatch, MultiTaskBatch
from minitransformer.models import (
    BertConfig,
    BertForMaskedLM,
    Classifier,
    ClassifierConfig,
    GPTConfig,
    LlamaConfig,
    MultiTask,
    MultiTaskConfig,
    Regressor,
    RegressorConfig,
    RewardModel,
    RewardModelConfig,
    SpanAnswerer,
    SpanAnswererConfig,
    TokenLabeller,
    TokenLabellerConfig,
    TransformerLMConfig,
)

BERT = BertConfig(vocab_size=11, context=7, layers=1, heads=2, width=6, dropout=0.25)
LENGTHS = np.array([6, 4, 2, 5])
CLASSES = np.array([0, 4, IGNORE, 2])
NUMBERS = np.array([0.5, -1.0, 2.0, 0.25])
SPANS = np.array([[0, 5], [1, 2], [1, IGNORE], [0, 0]])


def sequences(targets: np.ndarray) -> EncoderBatch:
    """Four sequences of 2 to 6 tokens, in two segments, with padding behind them."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(BERT.vocab_size, size=(4, 6))
    return EncoderBatch(inputs, LENGTHS, targets, rng.integers(2, size=(4, 6)))


def _labels(kinds: int, asked: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    labels = rng.integers(kinds, size=(4, 6))
    kept = (rng.random((4, 6)) < asked) & (np.arange(6) < LENGTHS[:, None])
    return np.where(kept, labels, IGNORE)


def _masked_lm() -> tuple[Any, Any]:
    config = dataclasses.replace(BERT, layers=2)
    return BertForMaskedLM(config, dtype=np.float64), sequences(_labels(BERT.vocab_size, 0.5))


def _classifier() -> tuple[Any, Any]:
    config = ClassifierConfig(BERT, outputs=5, pooling="first")
    return Classifier(config, dtype=np.float64), sequences(CLASSES)


def _regressor() -> tuple[Any, Any]:
    trunk = TransformerLMConfig(vocab_size=11, context=7, layers=1, heads=2, width=6, dropout=0.25)
    return Regressor(RegressorConfig(trunk), dtype=np.float64), sequences(NUMBERS)


def _labeller() -> tuple[Any, Any]:
    config = TokenLabellerConfig(BERT, outputs=3)
    return TokenLabeller(config, dtype=np.float64), sequences(_labels(3, 1.0))


def _answerer() -> tuple[Any, Any]:
    return SpanAnswerer(SpanAnswererConfig(BERT), dtype=np.float64), sequences(SPANS)


def _reward() -> tuple[Any, Any]:
    trunk = GPTConfig(vocab_size=11, context=7, layers=1, heads=2, width=6, dropout=0.25)
    return RewardModel(RewardModelConfig(trunk), dtype=np.float64), sequences(NUMBERS)


def _multi_task() -> tuple[Any, Any]:
    trunk = LlamaConfig(
        vocab_size=11, context=7, layers=1, heads=4, width=8, kv_heads=2, causal=False
    )
    config = MultiTaskConfig(
        trunk,
        tasks=("topic", "tags"),
        heads=("class", "label"),
        outputs=(5, 3),
        weights=(0.5, 2.0),
    )
    parts = {"topic": sequences(CLASSES), "tags": sequences(_labels(3, 1.0))}
    return MultiTask(config, dtype=np.float64), MultiTaskBatch(parts)


ENCODERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "BertForMaskedLM": _masked_lm,
    "Classifier": _classifier,
    "Regressor": _regressor,
    "TokenLabeller": _labeller,
    "SpanAnswerer": _answerer,
    "RewardModel": _reward,
    "MultiTask": _multi_task,
}
"""For every model a function that makes a tiny one in float64, and a batch for it."""
