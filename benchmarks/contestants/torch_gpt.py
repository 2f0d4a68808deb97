"""The same GPT in PyTorch at its fastest: fused attention, fused AdamW, compiled or not."""

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contestant import timed
from benchmarks.evidence import Array, Evidence
from benchmarks.problem import BETAS, EPS, LEARNING_RATE, VALIDATION_STEPS, Problem, Size
from minitransformer.models import GPTConfig


class Block(nn.Module):
    """Pre-norm block; layers are named as ours are."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        parts = self.query_key_value(self.attention_norm(x)).view(B, T, 3, self.heads, -1)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).reshape(B, T, C))
        hidden = F.gelu(self.expand(self.feed_forward_norm(x)), approximate="tanh")
        return x + self.contract(hidden)


class TorchGPT(nn.Module):
    """GPT-2's architecture with tied head."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.token_embedding(inputs) + self.positions.weight[: inputs.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.token_embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take our weights."""
        own = dict(self.named_parameters())
        with torch.no_grad():
            for name, array in parameters.items():
                parameter = own[their_name(name)]
                parameter.copy_(torch.from_numpy(as_theirs(name, array)))

    def gradients(self) -> dict[str, Array]:
        """Gradients by our names, matrices (in, out) as ours."""
        return {
            our_name(name): as_theirs(our_name(name), parameter.grad.numpy()).copy()
            for name, parameter in self.named_parameters()
            if parameter.grad is not None
        }


def their_name(name: str) -> str:
    """``blocks.0.attention.projection.weight`` is PyTorch's ``blocks.0.projection.weight``."""
    name = re.sub(r"\.(attention|feed_forward)\.", ".", name)
    return name.replace(".gamma", ".weight").replace(".beta", ".bias")


def our_name(name: str) -> str:
    """Undo :func:`their_name`."""
    name = re.sub(r"\.(query_key_value|projection)\.", r".attention.\1.", name)
    name = re.sub(r"\.(expand|contract)\.", r".feed_forward.\1.", name)
    if "norm." in name:
        return name.replace(".weight", ".gamma").replace(".bias", ".beta")
    return name


def as_theirs(name: str, array: Array) -> Array:
    """Matrices of linear layers are stored (out, in) in PyTorch; the way back is the same."""
    is_linear = name.startswith("blocks") and array.ndim == 2
    return array.T if is_linear else array


class Training:
    """Training steps, eager or compiled."""

    def __init__(self, size: dict[str, Any], threads: int, compiled: bool = False) -> None:
        torch.set_num_threads(threads)
        self.problem = Problem(Size.of(size))
        self.model = TorchGPT(self.problem.size.model)
        self.model.load(self.problem.parameters())
        parameters = list(self.model.parameters())
        matrices = [p for p in parameters if p.ndim == 2]
        vectors = [p for p in parameters if p.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.problem.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            betas=BETAS,
            eps=EPS,
            fused=True,
        )
        self.loss: Callable[..., Any] = torch.compile(self.model) if compiled else self.model
        self.indices = count()

    def validate(self) -> Evidence:
        loss = self._loss_of(0)
        loss.backward()
        gradients = self.model.gradients()
        self.optimizer.zero_grad()
        curve = [self.step() for _ in range(VALIDATION_STEPS)]
        return {"loss": loss.detach().numpy(), "loss curve": np.array(curve), **gradients}

    def run(self, steps: int) -> list[float]:
        return timed(self.step, steps)

    def step(self) -> float:
        """One step; its loss."""
        loss = self._loss_of(next(self.indices))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.problem.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.item())

    def _loss_of(self, index: int) -> Tensor:
        inputs, targets = map(torch.from_numpy, self.problem.inputs_and_targets(index))
        loss: Tensor = self.loss(inputs, targets)
        return loss
