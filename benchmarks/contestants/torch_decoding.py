"""Decoding in PyTorch with preallocated keys and values; linear layers in either layout."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.decoding import NEW_TOKENS, first_tokens, prompt, seconds_per_token
from benchmarks.evidence import Array, Evidence
from benchmarks.problem import Problem, Size


class Decoder:
    """GPT-2's architecture, one sequence at a time.

    Parameters
    ----------
    parameters
        By our names.
    heads
        Of each block.
    layers
        Number of blocks.
    in_out
        Matrices of linear layers are stored (in, out), as GPT-2's Conv1D does; otherwise (out, in),
        as ``nn.Linear`` does.
    """

    def __init__(
        self, parameters: Mapping[str, Array], heads: int, layers: int, in_out: bool
    ) -> None:
        self.heads, self.layers, self.in_out = heads, layers, in_out
        self.parameters = {
            name: torch.from_numpy(
                array.T.copy() if name.startswith("blocks") and not in_out else array
            )
            for name, array in parameters.items()
        }
        context, width = self.parameters["positions.weight"].shape
        self.keys = torch.zeros(layers, heads, context, width // heads)
        self.values = torch.zeros_like(self.keys)

    def logits(self, ids: list[int], start: int) -> Tensor:
        """Of the token that follows; ``start`` tokens were read before."""
        positions = self.parameters["positions.weight"][start : start + len(ids)]
        x = self.parameters["token_embedding.weight"][ids] + positions
        for layer in range(self.layers):
            name = f"blocks.{layer}."
            x = x + self._attention(self._norm(x, f"{name}attention_norm"), layer, start)
            normed = self._norm(x, f"{name}feed_forward_norm")
            hidden = F.gelu(self._linear(normed, f"{name}feed_forward.expand"), approximate="tanh")
            x = x + self._linear(hidden, f"{name}feed_forward.contract")
        return F.linear(self._norm(x[-1:], "norm"), self.parameters["token_embedding.weight"])[0]

    def _attention(self, x: Tensor, layer: int, start: int) -> Tensor:
        name, end = f"blocks.{layer}.attention.", start + len(x)
        parts = self._linear(x, f"{name}query_key_value").view(len(x), 3, self.heads, -1)
        q, self.keys[layer, :, start:end], self.values[layer, :, start:end] = parts.permute(
            1, 2, 0, 3
        )
        keys, values = self.keys[None, layer, :, :end], self.values[None, layer, :, :end]
        # with one query every key is in its past
        y = F.scaled_dot_product_attention(q[None], keys, values, is_causal=len(x) > 1)
        return self._linear(y[0].transpose(0, 1).reshape(x.shape), f"{name}projection")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return torch.addmm(bias, x, weight) if self.in_out else F.linear(x, weight, bias)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        gamma, beta = self.parameters[f"{name}.gamma"], self.parameters[f"{name}.beta"]
        return F.layer_norm(x, gamma.shape, gamma, beta)


class Generation:
    """Greedy tokens."""

    def __init__(self, size: dict[str, Any], threads: int, in_out: bool) -> None:
        torch.set_num_threads(threads)
        problem = Problem(Size.of(size))
        model = problem.size.model
        self.decoder = Decoder(problem.parameters(), model.heads, model.layers, in_out)
        self.prompt = prompt(model.vocab_size)

    @torch.inference_mode()
    def validate(self) -> Evidence:
        logits = self.decoder.logits(self.prompt, 0)
        return {"logits": logits.numpy(), "tokens": first_tokens(self._continuation())}

    @torch.inference_mode()
    def run(self, steps: int) -> list[float]:
        return seconds_per_token(self._continuation, steps)

    def _continuation(self) -> Iterator[int]:
        ids, start = self.prompt, 0
        for _ in range(NEW_TOKENS):
            token = int(self.decoder.logits(ids, start).argmax())
            yield token
            ids, start = [token], start + len(ids)
