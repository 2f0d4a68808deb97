"""The ops that PyTorch has too, forward and backward by its autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contestant import timed
from benchmarks.evidence import Evidence
from benchmarks.op_tasks import task


def _split_heads(x: Tensor, heads: tuple[int, ...]) -> tuple[Tensor, ...]:
    parts = x.unflatten(-1, (sum(heads), -1)).transpose(1, 2).split(heads, dim=1)
    return tuple(part.contiguous() for part in parts)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


OPS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "matmul": lambda a, b: a @ b,
    "linear": lambda x, w, b: F.linear(x, w.T, b),
    "embedding": lambda ids, w: F.embedding(ids, w),
    "layer_norm": lambda x, gamma, beta: F.layer_norm(x, gamma.shape, gamma, beta),
    "rms_norm": lambda x, gamma: F.rms_norm(x, gamma.shape, gamma, eps=1e-6),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "relu": lambda x: F.relu(x),
    "tanh": lambda x: torch.tanh(x),
    "silu": lambda x: F.silu(x),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "swiglu": lambda gate, up: F.silu(gate) * up,
    "attention": lambda q, k, v, causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
    "split_heads": _split_heads,
    "merge_heads": lambda x: x.transpose(1, 2).flatten(2),
    "cross_entropy": _cross_entropy,
    "mse": lambda prediction, target: F.mse_loss(prediction, target),
}
"""By our names and with our arguments; the rest it has not, or only as parts."""


class OpPair:
    """Forward and backward of one op."""

    def __init__(self, name: str, threads: int) -> None:
        torch.set_num_threads(threads)
        found = task(name)
        self.function = OPS[found.spec.name]
        self.arguments = {
            key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for key, value in found.arguments.items()
        }
        self.wrt = [self.arguments[key].requires_grad_() for key in found.spec.wrt]
        self.names = [f"d{key}" for key in found.spec.wrt]
        self.dy = [torch.as_tensor(part) for part in _as_parts(found.dy)]

    def validate(self) -> Evidence:
        parts = _as_parts(self.function(**self.arguments))
        gradients = torch.autograd.grad(parts, self.wrt, self.dy)
        results = {f"y{i}": part.detach().numpy() for i, part in enumerate(parts)}
        named = zip(self.names, gradients, strict=True)
        return {**results, **{name: gradient.numpy() for name, gradient in named}}

    def run(self, steps: int) -> list[float]:
        return timed(self._step, steps)

    def _step(self) -> None:
        parts = _as_parts(self.function(**self.arguments))
        torch.autograd.grad(parts, self.wrt, self.dy)


def _as_parts(y: Any) -> tuple[Any, ...]:
    return y if isinstance(y, tuple) else (y,)
