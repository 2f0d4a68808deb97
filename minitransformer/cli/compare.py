"""``minitransformer compare``."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from matplotlib.figure import Figure
from rich.table import Table

from minitransformer.cli.flags import parse
from minitransformer.cli.metrics import OF, interval
from minitransformer.cli.report import print_table, smoothed
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.evaluation import Measure, measures
from minitransformer.files import atomic_write
from minitransformer.memory import keep_freed_memory
from minitransformer.records import Record
from minitransformer.runs import Run, select_backend

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart."""


@dataclass(frozen=True)
class CompareConfig:
    """Put runs of one task side by side: a table of what they reached, and their loss curves.

    Examples
    --------
      minitransformer train --recipe lm-gpt --out runs/gpt
      minitransformer train --recipe lm-llama --out runs/llama
      minitransformer compare runs/gpt runs/llama
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders that training made, of the same task."""
    out: Path = Path("comparison.png")
    """Picture of the loss curves."""
    limit: int | None = None
    """Measure on so many examples or batches only, spread over all."""
    seed: int = 0
    """Of the bootstrap."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


def main(arguments: list[str]) -> int:
    """Print the table and draw the picture."""
    config = parse(CompareConfig, "compare", arguments)
    keep_freed_memory()
    select_backend(config.backend, config.device)
    runs = [Run.open(folder) for folder in config.runs]
    _require_one_task(runs)
    warm_up_if_cold()
    found = [measures(run.task.outcomes(run.model, config.limit), config.seed) for run in runs]
    print_table(_table(runs, found))
    plot_runs({run.folder.name: run.metrics() for run in runs}, config.out)
    print(f"loss curves: {config.out}")
    return 0


def _require_one_task(runs: list[Run]) -> None:
    tasks = {(run.config.task, run.config.data, str(run.config.task_options)) for run in runs}
    if len(tasks) > 1:
        raise InputError(
            "these runs do not have the same task and data, so that their losses say nothing of "
            "each other: " + ", ".join(f"{run.folder} is of {run.config.task}" for run in runs)
        )


def _table(runs: list[Run], found: list[list[Measure]]) -> Table:
    names = [measure.name for measure in found[0] if OF not in measure.name]
    table = Table("run", "architecture", "parameters", "trained", "steps", "tokens/s", *names)
    for column in table.columns[2:]:
        column.justify = "right"
    for run, measured in zip(runs, found, strict=True):
        speeds = [r["tokens_per_second"] for r in run.metrics() if "tokens_per_second" in r]
        table.add_row(
            run.folder.name,
            run.config.architecture,
            f"{run.model.parameter_count():,}",
            f"{run.model.trainable_count():,}",
            f"{run.step:,}",
            f"{statistics.median(speeds):,.0f}" if speeds else "-",
            *(interval(measure) for measure in measured if measure.name in names),
        )
    return table


def plot_runs(metrics: dict[str, list[Record]], path: Path) -> None:
    """Draw the losses of several runs over the steps: running means, and validation as dots.

    Parameters
    ----------
    metrics
        The records of each run's ``metrics.jsonl`` by the run's name.
    path
        PNG to write.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, records) in enumerate(metrics.items()):
        colour = COLOURS[i % len(COLOURS)]
        training = [(r["index"], r["loss"]) for r in records if "loss" in r]
        validation = [(r["index"], r["validation_loss"]) for r in records if "validation_loss" in r]
        if training:
            steps, losses = zip(*training, strict=True)
            axes.plot(steps, smoothed(losses), color=colour, alpha=0.5, linewidth=1.0)
        axes.plot(*zip(*validation, strict=True), "o-", color=colour, markersize=4, label=name)
    axes.set(xlabel="step", ylabel="loss (nats)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, title="dots: validation; lines: training, running mean")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=144)
