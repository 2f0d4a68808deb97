"""Which learning rate to take: try one after the other, each a little higher, and look."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minitransformer.data import AnyBatch
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.files import atomic_write
from minitransformer.models import Model
from minitransformer.optim import Optimizer
from minitransformer.training import train

SMOOTHING = 0.9
"""Weight of the past in the running mean of the loss."""
HOPELESS = 1.5
"""Times the lowest running mean at which training has broken down."""


class Trial(NamedTuple):
    """One step: the learning rate that it was taken with, and the running mean of the loss."""

    learning_rate: float
    loss: float


def try_learning_rates(
    model: Model,
    optimizer: Optimizer,
    batches: Callable[[int], AnyBatch],
    steps: int,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    clip: float = math.inf,
    seed: int = 0,
) -> Iterator[Trial]:
    """Train while the learning rate grows by the same factor each step, until the loss explodes.

    Parameters
    ----------
    model
        Untrained; spoilt afterwards, so build it again.
    optimizer
        Of the model's parameters.
    batches
        ``batches(i)`` is the batch of step i, counted from 0.
    steps
        From the lowest learning rate to the highest, 2 or more.
    low, high
        Lowest and highest learning rate.
    clip, seed
        As for :func:`minitransformer.training.train`.

    Yields
    ------
    Trial

    Raises
    ------
    InputError
        If there are too few steps, or the learning rates do not grow.

    References
    ----------
    Smith (2017), Cyclical Learning Rates for Training Neural Networks, section 3.3,
    arXiv:1506.01186.
    """
    if steps < 2 or not 0.0 < low < high < math.inf:
        raise InputError(
            f"steps is {steps} and learning rates go from {low} to {high}, expected 2 steps or "
            "more and 0 < low < high"
        )
    taken = train(
        model,
        optimizer,
        batches,
        lambda step: low * (high / low) ** ((step - 1) / (steps - 1)),
        steps,
        clip=clip,
        seed=seed,
    )
    mean, best = 0.0, math.inf
    try:
        for step in taken:
            mean = SMOOTHING * mean + (1.0 - SMOOTHING) * step.loss
            unbiased = mean / (1.0 - SMOOTHING**step.index)  # the mean began at 0
            best = min(best, unbiased)
            if unbiased > HOPELESS * best:
                return
            yield Trial(step.learning_rate, unbiased)
    except NonFiniteError:
        return


def steepest(trials: Sequence[Trial]) -> float:
    """The learning rate at which the loss falls fastest, per factor of the rate: a good one.

    Lower ones learn more slowly, and at the one where the loss is lowest it is about to explode.

    Parameters
    ----------
    trials
        Of :func:`try_learning_rates`, 3 or more.

    Raises
    ------
    InputError
        If there are fewer, or the loss never falls.
    """
    if len(trials) < 3:
        raise InputError(
            f"only {len(trials)} learning rates were tried before the loss exploded, expected 3 or "
            "more; begin with a lower one"
        )
    rates, losses = np.array(trials).T
    slopes = np.gradient(losses, np.log(rates))
    if slopes.min() >= 0.0:
        raise InputError(
            f"the loss falls at no learning rate from {rates[0]:.2g} to {rates[-1]:.2g}; try "
            "others, or more steps"
        )
    return float(rates[slopes.argmin()])


def plot_trials(trials: Sequence[Trial], suggestion: float, path: Path) -> None:
    """Draw the loss over the learning rate, with the suggested one, as a PNG."""
    from matplotlib.figure import Figure

    rates, losses = zip(*trials, strict=True)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(rates, losses, color="#56b4e9")
    axes.axvline(suggestion, color="#d55e00", linestyle="--", label=f"steepest: {suggestion:.2g}")
    axes.set(xlabel="learning rate", ylabel="loss (nats), running mean")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=144)
