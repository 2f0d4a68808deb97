"""Training: a generator of steps. The caller prints, plots, saves and stops."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minitransformer import ops, placement
from minitransformer.data import AnyBatch, count_targets, split_batch
from minitransformer.distributed import DataParallel, LocalComm, Replicated
from minitransformer.errors import NonFiniteError
from minitransformer.models import Model
from minitransformer.nn import flatten_parameters
from minitransformer.optim import Optimizer

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
    batches: Callable[[int], AnyBatch],
    schedule: Callable[[int], float],
    steps: int,
    *,
    start: int = 0,
    clip: float = math.inf,
    accumulate: int = 1,
    seed: int = 0,
    ranks: DataParallel | None = None,
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
    accumulate
        Number of parts in which each batch is computed, one after the other: the gradient is the
        same, the memory for caches that of one part.
    seed
        Of the dropout masks.
    ranks
        Processes that share each batch; by default this one alone.

    Yields
    ------
    Step

    Raises
    ------
    NonFiniteError
        If the loss or the gradient is NaN or infinite; the parameters are not updated then.
    """
    flat = flatten_parameters(model.parameters())
    ranks = ranks or Replicated(LocalComm(), flat.grad.size)
    rank, size = ranks.comm.rank, ranks.comm.size
    for index in range(start, steps):
        began = time.perf_counter()
        batch = batches(index)
        optimizer.lr = schedule(index + 1)
        ops.zero_(flat.grad)
        with np.errstate(all="ignore"):  # what overflows is told once, below
            rng = np.random.default_rng([DROPOUT_STREAM, seed, index, rank])
            loss = np.array(add_gradients(model, shares(batch, size * accumulate)[rank::size], rng))
            ranks.comm.all_reduce(loss)
            ranks.reduce(flat)
            norm = ranks.clip(flat, clip)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise NonFiniteError(
                    f"step {index + 1}: the loss is {loss} and the gradient's norm {norm}; "
                    f"{first_non_finite(model)}. Try a smaller learning rate or a longer warm-up."
                )
            optimizer.step()
            ranks.spread(flat)
        seconds = time.perf_counter() - began
        yield Step(index + 1, float(loss), norm, optimizer.lr, batch.inputs.size / seconds)


class Share(NamedTuple):
    """A part of a batch, and how much of the batch it is."""

    batch: AnyBatch
    weight: float


def shares(batch: AnyBatch, parts: int) -> list[Share]:
    """Cut a batch apart so that the weighted gradients of its parts add up to its gradient.

    Notes
    -----
    A loss is a mean over targets. That of the batch weighs each part's with its part of the
    targets: ``L = sum_i n_i L_i / sum_i n_i``, and the gradient likewise.
    """
    if parts == 1:
        return [Share(batch, 1.0)]
    cut = split_batch(batch, parts)
    total = max(count_targets(batch), 1)
    return [Share(part, count_targets(part) / total) for part in cut]


def add_gradients(
    model: Model, own: Sequence[Share], rng: np.random.Generator | None = None
) -> float:
    """Add the weighted gradients of some parts of a batch; returns the weighted sum of losses."""
    total = 0.0
    for part, weight in own:
        loss, cache = model.loss(part, rng)
        model.backward(cache, weight)
        total += weight * float(loss)
    return total


def first_non_finite(model: Model) -> str:
    """Say which parameter, or else which gradient, is the first to hold NaN or infinity."""
    for what in ("data", "grad"):
        for name, parameter in model.named_parameters():
            values = placement.to_host(getattr(parameter, what))
            wrong = values.size - np.count_nonzero(np.isfinite(values))
            if wrong:
                kind = "values" if what == "data" else "gradients"
                return f"first parameter hit: {name}, {wrong} of {values.size} {kind}"
    return "all parameters and their gradients are finite"
