"""Training: a generator of steps. The caller prints, plots, saves and stops."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from minitransformer.data import Batch
from minitransformer.errors import NonFiniteError
from minitransformer.models import Model
from minitransformer.nn import flatten_parameters
from minitransformer.optim import Optimizer, clip_grad_norm

DROPOUT_STREAM = 0xD409
"""Keeps the dropout masks apart from other random numbers of the same seed and step."""


@dataclass(frozen=True)
class Step:
    """What happened in one step."""

    index: int
    """Number of steps taken so far, this one included."""
    loss: float
    """Of this step's batch before the update, in nats per token."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    tokens_per_second: float


def train(
    model: Model,
    optimizer: Optimizer,
    batches: Callable[[int], Batch],
    schedule: Callable[[int], float],
    steps: int,
    *,
    start: int = 0,
    clip: float = math.inf,
    seed: int = 0,
) -> Iterator[Step]:
    """Train a model, one step for each item that the caller takes.

    Everything random depends on ``seed`` and the index of the step alone, so a run that continues
    from the model and optimizer of step ``start`` gives the same bits as one that never stopped.

    Parameters
    ----------
    model
        Its parameters are updated in place.
    optimizer
        Of the model's parameters; its ``lr`` is set before each step.
    batches
        ``batches(i)`` is the batch of step i, counted from 0.
    schedule
        ``schedule(i)`` is the learning rate of step i, counted from 1.
    steps
        Number of the last step.
    start
        Steps taken before.
    clip
        Greatest length of the gradient; a longer one is scaled down.
    seed
        Of the dropout masks.

    Yields
    ------
    Step

    Raises
    ------
    NonFiniteError
        If the loss or the gradient is NaN or infinite; the parameters are not updated then.
    """
    flat = flatten_parameters(model.parameters())
    for index in range(start, steps):
        began = time.perf_counter()
        batch = batches(index)
        optimizer.lr = schedule(index + 1)
        model.zero_grad()
        with np.errstate(all="ignore"):  # what overflows is told once, below
            loss, cache = model.loss(batch, np.random.default_rng([DROPOUT_STREAM, seed, index]))
            model.backward(cache)
            norm = clip_grad_norm([flat.grad], clip)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise NonFiniteError(
                    f"step {index + 1}: the loss is {float(loss)} and the gradient's norm {norm}; "
                    f"{first_non_finite(model)}. Try a smaller learning rate or a longer warm-up."
                )
            optimizer.step()
        seconds = time.perf_counter() - began
        yield Step(index + 1, float(loss), norm, optimizer.lr, batch.inputs.size / seconds)


def first_non_finite(model: Model) -> str:
    """Say which parameter, or else which gradient, is the first to hold NaN or infinity."""
    for what in ("data", "grad"):
        for name, parameter in model.named_parameters():
            values = getattr(parameter, what)
            wrong = values.size - np.count_nonzero(np.isfinite(values))
            if wrong:
                kind = "values" if what == "data" else "gradients"
                return f"first parameter hit: {name}, {wrong} of {values.size} {kind}"
    return "all parameters and their gradients are finite"
