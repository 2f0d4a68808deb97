"""The same GPT in JAX: the whole step is one compiled function that reuses its arguments."""

import math
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contestant import timed
from benchmarks.evidence import Evidence
from benchmarks.problem import BETAS, EPS, LEARNING_RATE, VALIDATION_STEPS, Problem, Size
from minitransformer.models import GPTConfig

Parameters = dict[str, Any]


def layer_norm(x: Any, parameters: Parameters, name: str) -> Any:
    """Layer norm with the gains and biases of a given name."""
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    xhat = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
    return xhat * parameters[f"{name}.gamma"] + parameters[f"{name}.beta"]


def linear(x: Any, parameters: Parameters, name: str) -> Any:
    """Linear layer of a given name."""
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def attention(q: Any, k: Any, v: Any) -> Any:
    """Causal attention on (B, H, T, D)."""
    T = q.shape[2]
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((T, T), bool)), scores, -jnp.inf)
    return jax.nn.softmax(scores) @ v


def block(x: Any, parameters: Parameters, name: str, heads: int) -> Any:
    """Pre-norm block."""
    B, T, C = x.shape
    normed = layer_norm(x, parameters, f"{name}.attention_norm")
    parts = linear(normed, parameters, f"{name}.attention.query_key_value")
    q, k, v = parts.reshape(B, T, 3, heads, C // heads).transpose(2, 0, 3, 1, 4)
    attended = attention(q, k, v).transpose(0, 2, 1, 3).reshape(B, T, C)
    x = x + linear(attended, parameters, f"{name}.attention.projection")
    normed = layer_norm(x, parameters, f"{name}.feed_forward_norm")
    hidden = jax.nn.gelu(linear(normed, parameters, f"{name}.feed_forward.expand"))
    return x + linear(hidden, parameters, f"{name}.feed_forward.contract")


def loss_of(parameters: Parameters, inputs: Any, targets: Any, config: GPTConfig) -> Any:
    """Mean cross-entropy of the next token."""
    embedding = parameters["token_embedding.weight"]
    x = embedding[inputs] + parameters["positions.weight"][: inputs.shape[1]]
    for layer in range(config.layers):
        x = block(x, parameters, f"blocks.{layer}", config.heads)
    logits = layer_norm(x, parameters, "norm") @ embedding.T
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return (jax.nn.logsumexp(logits, axis=-1) - picked).mean()


class Training:
    """Training steps."""

    def __init__(self, size: dict[str, Any]) -> None:
        self.problem = Problem(Size.of(size))
        config = self.problem.size.model
        self.parameters = {k: jnp.asarray(v) for k, v in self.problem.parameters().items()}
        zeros = {name: jnp.zeros_like(p) for name, p in self.parameters.items()}
        self.moments = (zeros, jax.tree.map(jnp.copy, zeros))
        self.gradient = jax.jit(
            jax.value_and_grad(lambda p, inputs, targets: loss_of(p, inputs, targets, config))
        )
        self.update = jax.jit(self._update, donate_argnums=(0, 1))
        self.indices = count()

    def validate(self) -> Evidence:
        loss, gradients = self.gradient(self.parameters, *self.problem.inputs_and_targets(0))
        curve = [self.step() for _ in range(VALIDATION_STEPS)]
        arrays = {name: np.asarray(gradient) for name, gradient in gradients.items()}
        return {"loss": np.asarray(loss), "loss curve": np.array(curve), **arrays}

    def run(self, steps: int) -> list[float]:
        return timed(self.step, steps)

    def step(self) -> float:
        """One step; its loss."""
        index = next(self.indices)
        batch = self.problem.inputs_and_targets(index)
        self.parameters, self.moments, loss = self.update(
            self.parameters, self.moments, index + 1.0, *batch
        )
        jax.block_until_ready(self.parameters)
        return float(loss)

    def _update(
        self, parameters: Parameters, moments: Any, t: Any, inputs: Any, targets: Any
    ) -> tuple[Parameters, Any, Any]:
        """Gradient, clipping and AdamW as one function, for XLA to fuse."""
        loss, gradients = self.gradient(parameters, inputs, targets)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values()))
        shrink = jnp.minimum(1.0, self.problem.clip / (norm + 1e-6))
        first, second = BETAS

        def mean(old: Any, gradient: Any) -> Any:
            return first * old + (1 - first) * shrink * gradient

        def mean_square(old: Any, gradient: Any) -> Any:
            return second * old + (1 - second) * jnp.square(shrink * gradient)

        def stepped(parameter: Any, m: Any, v: Any) -> Any:
            decay = self.problem.weight_decay if parameter.ndim == 2 else 0.0
            root = jnp.sqrt(v / (1 - second**t)) + EPS
            kept = (1 - LEARNING_RATE * decay) * parameter
            return kept - LEARNING_RATE * (m / (1 - first**t)) / root

        m = jax.tree.map(mean, moments[0], gradients)
        v = jax.tree.map(mean_square, moments[1], gradients)
        return jax.tree.map(stepped, parameters, m, v), (m, v), loss
