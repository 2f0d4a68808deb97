"""A whole model is an op too: the adjoint law over all of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitransformer.data import Batch, PairBatch, pair_batch
from minitransformer.models import (
    GPT,
    EncoderDecoder,
    EncoderDecoderConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    SpeechBatch,
    TransformerLM,
    TransformerLMConfig,
    Whisper,
    WhisperConfig,
)
from minitransformer.nn import Module, flatten_parameters
from minitransformer.testing.differences import Measurement, measure, random_like
from minitransformer.testing.encoders import ENCODERS
from minitransformer.testing.laws import ADJOINT_TOLERANCE
from minitransformer.testing.subject import LawError

Factory = Callable[[], tuple[Any, Any]]


def _tiny_gpt() -> tuple[GPT, Batch]:
    """Two layers, dropout, ignored targets; ids and axis lengths that cannot be confused."""
    config = GPTConfig(vocab_size=11, context=7, layers=2, heads=2, width=6, dropout=0.25)
    return GPT(config, dtype=np.float64), _some_text(config.vocab_size)


def _tiny_llama() -> tuple[Llama, Batch]:
    """Grouped queries, neighbours paired, an output layer of its own."""
    config = LlamaConfig(
        vocab_size=11,
        context=7,
        layers=2,
        heads=4,
        width=8,
        dropout=0.25,
        kv_heads=2,
        hidden=5,
        rotary_base=50.0,
        interleaved=True,
        norm_eps=0.01,
    )
    return Llama(config, dtype=np.float64), _some_text(config.vocab_size)


def _tiny_transformer_lm() -> tuple[TransformerLM, Batch]:
    """Post-norm blocks, and a mask of its own that leaves every token something to see."""
    config = TransformerLMConfig(
        vocab_size=11, context=7, layers=2, heads=2, width=6, dropout=0.25, hidden=5
    )
    mask = np.random.default_rng(1).random((3, 1, 5, 5)) < 0.5
    batch = _some_text(config.vocab_size)._replace(mask=mask | np.eye(5, dtype=np.bool_))
    return TransformerLM(config, dtype=np.float64), batch


def _tiny_encoder_decoder() -> tuple[EncoderDecoder, PairBatch]:
    """One table of embeddings in three places; sources and targets of unequal length."""
    config = EncoderDecoderConfig(
        vocab_size=11,
        target_vocab_size=11,
        start_id=0,
        end_id=1,
        context=7,
        target_context=5,
        layers=2,
        heads=2,
        width=6,
        hidden=5,
        dropout=0.25,
        norm="pre",
        shared_embeddings=True,
        label_smoothing=0.1,
    )
    sources, targets = [[3, 4, 5, 6], [7], [8, 2, 2]], [[9], [2, 10, 4, 3], [5, 5]]
    batch = pair_batch(sources, targets, config.start_id, config.end_id)
    return EncoderDecoder(config, dtype=np.float64), batch


def _tiny_whisper() -> tuple[Whisper, SpeechBatch]:
    """An odd number of frames, so that the last window is cut off; ignored targets."""
    config = WhisperConfig(
        vocab_size=11,
        start_id=0,
        end_id=1,
        mel_bins=3,
        context=5,
        target_context=6,
        layers=1,
        decoder_layers=2,
        heads=2,
        width=6,
        hidden=5,
        dropout=0.25,
    )
    batch = _some_text(config.vocab_size)
    features = np.random.default_rng(1).standard_normal((3, 9, config.mel_bins))
    return Whisper(config, dtype=np.float64), SpeechBatch(features, batch.inputs, batch.targets)


def _some_text(vocab_size: int) -> Batch:
    """Tokens and the ones that follow, of which some are not asked for."""
    ids = np.random.default_rng(0).integers(vocab_size, size=(3, 6))
    inputs, targets = ids[:, :-1], ids[:, 1:].copy()
    targets[0, :2] = targets[2, -1] = -100
    return Batch(inputs, targets)


MODELS: dict[str, Factory] = {
    "GPT": _tiny_gpt,
    "Llama": _tiny_llama,
    "EncoderDecoder": _tiny_encoder_decoder,
    "TransformerLM": _tiny_transformer_lm,
    "Whisper": _tiny_whisper,
    **ENCODERS,
}
"""For every model a function that makes a tiny one in float64, and a batch for it."""


@dataclass(frozen=True)
class _Trial:
    """One model at random parameters, one batch, and one dropout mask, drawn from ``seed``."""

    model: Any
    batch: Any
    seed: int

    def loss(self) -> tuple[Any, Any]:
        loss, cache = self.model.loss(self.batch, np.random.default_rng(self.seed))
        return loss, cache

    def measure(self, values: Any, rng: np.random.Generator) -> Measurement:
        """Differentiate the loss by one of the model's arrays, along a random direction."""

        def loss_at(new: Any) -> Any:
            before = values.copy()
            values[...] = new
            try:
                return np.ravel(self.loss()[0])
            finally:
                values[...] = before

        return measure(loss_at, values.copy(), np.ones(1), rng, elements=1)


def model_gradient(model: Any, batch: Any, seed: int = 0) -> float:
    """Return the worst relative error of a model's gradient, in float64.

    The parameters are drawn at random, since at their initial values (gains of 1, biases of 0)
    mistakes hide, and put back afterwards. The law is tried along a random direction of all
    parameters, and of each alone, so that large gradients cannot cover for small ones.

    Parameters
    ----------
    model
        In float64: ``loss, cache = model.loss(batch, rng)`` and ``model.backward(cache)``.
    batch
        What ``model.loss`` takes.
    seed
        Draws parameters, directions, and dropout masks: the same for every evaluation.

    Raises
    ------
    LawError
        Names the parameter.
    TypeError
        If the model is not in float64.
    """
    flat = flatten_parameters(model.parameters())
    if flat.data.dtype != np.float64:
        raise TypeError(
            f"model is {flat.data.dtype}, expected float64: build it with dtype=float64"
        )
    rng = np.random.default_rng(seed)
    before = flat.data.copy()
    flat.data[...] = 0.5 * random_like(flat.data, rng)
    try:
        return _worst_error(_Trial(model, batch, seed), flat, rng)
    finally:
        flat.data[...] = before
        model.zero_grad()


def _worst_error(trial: _Trial, flat: Any, rng: np.random.Generator) -> float:
    model: Module = trial.model
    loss, cache = trial.loss()
    if not np.isfinite(loss):
        raise LawError(f"the loss is {loss}")
    flat.grad[...] = 1.0  # what an earlier batch may have left
    model.zero_grad()
    trial.model.backward(cache)
    arrays = {"all parameters": (flat.data, flat.grad.copy())}
    learning = ((name, p) for name, p in model.named_parameters() if not p.frozen)
    arrays |= {name: (p.data, p.grad.copy()) for name, p in learning}
    trial.model.backward(cache)
    if not np.allclose(flat.grad, 2 * arrays["all parameters"][1], rtol=1e-12, atol=1e-15):
        raise LawError("a second backward does not double the gradients: backward adds to them")
    worst = 0.0
    for name, (values, gradient) in arrays.items():
        worst = max(worst, trial.measure(values, rng).error(gradient))
        if not worst <= ADJOINT_TOLERANCE:
            raise LawError(f"the gradient of {name} has a relative error of {worst:.1e}")
    return worst
