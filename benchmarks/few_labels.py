"""What fine-tuning costs, and what it reaches: ``python -m benchmarks.few_labels``."""

import dataclasses
import math
import statistics
import sys
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from benchmarks.contest import console
from benchmarks.results import Result
from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.memory import keep_freed_memory
from minitransformer.nn import flatten_parameters
from minitransformer.recipes import load_recipe
from minitransformer.runs import Run, select_backend

LORA = {"lora_rank": 8, "lora_targets": ("blocks.*",)}
WAYS: dict[str, dict[str, Any]] = {
    "from scratch": {},
    "all parameters": {},
    "LoRA, rank 8": LORA,
    "head alone": {"freeze": ("trunk",)},
}
"""Settings of each way to learn from few labels; all but the first start from the pre-trained."""

SCRATCH = "from scratch"
RATES = (1e-3, 3e-3, 1e-2)
TRIAL_SEEDS = (101, 102)
"""The learning rate is chosen with these, so that the runs of the table have no part in it."""
SEEDS = (1, 2, 3, 4, 5)
STUDENT = 2.776
"""97.5% of Student's t with 4 degrees of freedom lie below: one less than there are seeds."""


@dataclass(frozen=True)
class Settings:
    """Learn from few labels in four ways: parameters trained, memory, time, quality.

    The learning rate of each way is the one with the best accuracy on docstrings that are neither
    learned from nor held out. Then five other seeds, which draw other labels, are measured on what
    was held out.
    """

    mlm: Path = Path("runs/mlm")
    """Run folder of the recipe mlm, which is trained first if it does not exist."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


class Cost(NamedTuple):
    """Of one training step."""

    learning: int
    """Bytes of gradients and of the optimizer's moments."""
    arrays: int
    """Bytes of the arrays made during a step that live at once."""
    seconds: float
    """Of the processor, the median step."""


class Found(NamedTuple):
    """Of one way to learn."""

    rate: float
    """The learning rate that was chosen."""
    parameters: int
    """Values that are trained."""
    losses: list[float]
    """Of the last batch of labels, by seed."""
    accuracies: list[float]
    """On what was held out, by seed."""
    cost: Cost


def main(settings: Settings) -> int:
    """Train, measure and print."""
    keep_freed_memory()
    select_backend(None)
    if not settings.mlm.exists():
        console.print(f"pre-training: {settings.mlm}")
        learn(dataclasses.replace(load_recipe("mlm"), out=settings.mlm))
    if Run.open(settings.mlm).step < load_recipe("mlm").steps:
        raise InputError(f"{settings.mlm} is not trained to its end; wait, or give another folder")
    with tempfile.TemporaryDirectory() as folder:
        found = {way: study(way, settings.mlm, Path(folder)) for way in WAYS}
    result = Result(
        name="few_labels",
        title="Fine-tuning with a tenth of the labels: the package of a docstring",
        command="python -m benchmarks.few_labels",
        columns=(
            "what learns",
            "learning rate",
            "parameters trained",
            "gradients and moments MiB",
            "arrays of a step MiB",
            "processor ms a step",
            "loss on the labels",
            "accuracy, held out",
        ),
        rows=[cells(way, found[way]) for way in WAYS],
        notes=[
            f"Accuracy: mean of {len(SEEDS)} seeds, which draw other labels, and its 95% "
            "confidence interval (Student's t). The learning rate, of "
            f"{', '.join(map(str, RATES))}, was chosen by other docstrings and other seeds. "
            f"{load_recipe('classify').steps} steps each.",
        ],
        data={way: each._asdict() for way, each in found.items()},
    )
    result.show()
    if settings.save:
        result.save()
    return 0


def study(way: str, mlm: Path, folder: Path) -> Found:
    """Choose a learning rate, then train with all seeds; the cost of a step at last."""

    def run(seed: int, rate: float) -> Run:
        config = dataclasses.replace(
            load_recipe("classify"),
            **WAYS[way],
            start_from=None if way == SCRATCH else mlm,
            out=folder / f"{way} {rate} {seed}",
            seed=seed,
            learning_rate=rate,
        )
        return learn(config)

    chosen = {
        rate: statistics.mean(accuracy(run(seed, rate), chosen_by=True) for seed in TRIAL_SEEDS)
        for rate in RATES
    }
    rate = max(chosen, key=lambda rate: chosen[rate])
    console.print(f"{way}: {chosen}")
    runs = [run(seed, rate) for seed in SEEDS]
    return Found(
        rate,
        runs[0].model.trainable_count(),
        [run.metrics()[-1]["loss"] for run in runs],
        [accuracy(run) for run in runs],
        cost(runs[0]),
    )


def learn(config: TrainConfig) -> Run:
    """Train to the end, as ``minitransformer train`` does."""
    run = Run.create(config)
    for _ in run.steps():
        pass
    run.save()
    return run


def accuracy(run: Run, chosen_by: bool = False) -> float:
    """Share of the held-out docstrings, or of those that settings are chosen by, that are right."""
    if not chosen_by:
        outcomes = run.task.outcomes(run.model)
        return float(outcomes.measure(np.arange(len(outcomes)))["accuracy"])
    right = [
        run.model(batch)[0].argmax(axis=-1) == batch.targets for batch in run.task.validation()
    ]
    return float(np.concatenate(right).mean())


def cost(run: Run, steps: int = 20) -> Cost:
    """What a training step takes."""
    flat = flatten_parameters(run.model.parameters())
    moments = sum(buffer.nbytes for buffer in run.optimizer.buffers.values())

    def step(index: int) -> float:
        batch, began = run.task.batch(index), time.process_time()
        run.model.zero_grad()
        _, cache = run.model.loss(batch, np.random.default_rng(index))
        run.model.backward(cache)
        run.optimizer.step()
        return time.process_time() - began

    seconds = statistics.median(step(index) for index in range(steps))
    tracemalloc.start()
    step(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Cost(flat.grad.nbytes + moments, peak, seconds)


def cells(way: str, found: Found) -> list[str]:
    """One line of the table."""
    half = STUDENT * statistics.stdev(found.accuracies) / math.sqrt(len(found.accuracies))
    return [
        way,
        f"{found.rate:g}",
        f"{found.parameters:,}",
        f"{found.cost.learning / 2**20:.2f}",
        f"{found.cost.arrays / 2**20:.2f}",
        f"{1e3 * found.cost.seconds:.1f}",
        f"{statistics.mean(found.losses):.3f}",
        f"{statistics.mean(found.accuracies):.3f} ± {half:.3f}",
    ]


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
