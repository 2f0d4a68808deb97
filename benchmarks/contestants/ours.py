"""minitransformer as its command line uses it, with any backend."""

import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.contestant import timed
from benchmarks.contestants import limits
from benchmarks.decoding import (
    LONG_PROMPT,
    NEW_TOKENS,
    first_tokens,
    prompt,
    seconds_per_token,
)
from benchmarks.evidence import Evidence
from benchmarks.problem import BETAS, EPS, LEARNING_RATE, VALIDATION_STEPS, Problem, Size
from minitransformer import set_backend
from minitransformer.generation import stream
from minitransformer.optim import AdamW
from minitransformer.pretrained import from_pretrained
from minitransformer.training import train


class Training:
    """Steps of :func:`minitransformer.training.train`."""

    def __init__(
        self, size: dict[str, Any], backend: str, dtype: str = "float32", **recipe: float
    ) -> None:
        set_backend(backend)
        self.problem = Problem(Size.of(size), **recipe)
        self.model = self.problem.model(np.dtype(dtype).type)
        self.optimizer = AdamW(
            self.model.parameters(), LEARNING_RATE, BETAS, EPS, self.problem.weight_decay
        )
        self.steps = train(
            self.model,
            self.optimizer,
            self.problem.batch,
            lambda step: LEARNING_RATE,
            steps=sys.maxsize,
            clip=self.problem.clip,
        )

    def validate(self) -> Evidence:
        loss, cache = self.model.loss(self.problem.batch(0))
        self.model.backward(cache)
        gradients = {name: p.grad.copy() for name, p in self.model.named_parameters()}
        curve = [next(self.steps).loss for _ in range(VALIDATION_STEPS)]
        return {"loss": np.array(loss), "loss curve": np.array(curve), **gradients}

    def run(self, steps: int) -> list[float]:
        return timed(lambda: next(self.steps), steps)


class Memory(Training):
    """What a step's arrays take; NumPy tells tracemalloc of each."""

    def validate(self) -> Evidence:
        next(self.steps)  # the first one compiles
        tracemalloc.start()
        next(self.steps)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"peak bytes": np.array(peak)}


class Generation:
    """Tokens of :func:`minitransformer.generation.stream`."""

    def __init__(self, size: dict[str, Any], backend: str, dtype: str = "float32") -> None:
        set_backend(backend)
        self.model = Problem(Size.of(size)).model(np.dtype(dtype).type)
        self.prompt = prompt(self.model.config.vocab_size)

    def validate(self) -> Evidence:
        logits, _ = self.model(np.array([self.prompt]))
        return {"logits": logits[0, -1], "tokens": first_tokens(self._continuation())}

    def run(self, steps: int) -> list[float]:
        return seconds_per_token(self._continuation, steps)

    def _continuation(self) -> Iterator[int]:
        return stream(self.model, self.prompt, max_new_tokens=NEW_TOKENS)


class FirstToken:
    """Reading a prompt with a public checkpoint, up to its first answer."""

    def __init__(self, folder: str, backend: str = "numba") -> None:
        set_backend(backend)
        self.model, _ = from_pretrained(folder)
        self.prompt = prompt(self.model.config.vocab_size, LONG_PROMPT)

    def validate(self) -> Evidence:
        return {"logits": self.model.next_logits(np.array([self.prompt]))[0]}

    def run(self, steps: int) -> list[float]:
        return timed(lambda: next(stream(self.model, self.prompt, max_new_tokens=1)), steps)


class NextTokens:
    """Tokens of :func:`minitransformer.generation.stream` from a public checkpoint."""

    def __init__(self, folder: str, backend: str = "numba") -> None:
        set_backend(backend)
        self.model, _ = from_pretrained(folder)
        self.prompt = prompt(self.model.config.vocab_size)

    def validate(self) -> Evidence:
        logits = self.model.next_logits(np.array([self.prompt]))[0]
        return {"logits": logits, "tokens": first_tokens(self._continuation())}

    def run(self, steps: int) -> list[float]:
        return seconds_per_token(self._continuation, steps)

    def _continuation(self) -> Iterator[int]:
        return stream(self.model, self.prompt, max_new_tokens=NEW_TOKENS)


class Reading(limits.Reading):
    """The product that measures the memory, in our own kernel."""

    def multiply(self) -> None:
        # imported here, as whoever trains with the textbook needs no numba
        from minitransformer.backends.numba.matvec import add_product

        add_product(self.vector[None], self.matrix.T, self.y[None])
