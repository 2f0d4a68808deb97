"""``minitransformer eval``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minitransformer.cli.alignment import picture_alignments
from minitransformer.cli.flags import parse
from minitransformer.cli.metrics import group_table, label_table, metrics_table, metrics_to_json
from minitransformer.cli.report import print_table
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.evaluation import measures, measures_by_group
from minitransformer.files import atomic_write
from minitransformer.memory import keep_freed_memory
from minitransformer.runs import Run, select_backend


@dataclass(frozen=True)
class EvalConfig:
    """Measure a trained model on data that it was not trained on, and how sure that is.

    Each metric stands beside its 95% confidence interval, by bootstrap over the examples.

    Examples
    --------
      minitransformer eval runs/001
      minitransformer eval runs/001 --data other-book.txt
      minitransformer eval runs/dates --limit 200 --out dates.json
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder that training made."""
    data: tuple[Path, ...] = ()
    """Files to measure on instead of what training set aside."""
    limit: int | None = None
    """Measure on so many examples or batches only, spread over all."""
    out: Path | None = None
    """JSON file to write; by default evaluation.json in the run folder."""
    seed: int = 0
    """Of the bootstrap; the same seed gives the same intervals."""
    resamples: int = 1000
    """How often the bootstrap draws the examples again."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


def main(arguments: list[str]) -> int:
    """Print a table of metrics and write them as JSON."""
    config = parse(EvalConfig, "eval", arguments)
    if config.resamples < 1 or (config.limit is not None and config.limit < 1):
        raise InputError(
            f"resamples is {config.resamples} and limit {config.limit}, expected 1 or more"
        )
    keep_freed_memory()
    select_backend(config.backend, config.device)
    run = Run.open(config.run)
    if config.data:
        run.task.measure_on(config.data)
    warm_up_if_cold()
    outcomes = run.task.outcomes(run.model, config.limit)
    found = measures(outcomes, config.seed, resamples=config.resamples)
    groups = measures_by_group(outcomes, config.seed, resamples=config.resamples)
    print_table(metrics_table(found, len(outcomes)))
    if labels := label_table(found):
        print_table(labels)
    if groups:
        print_table(group_table(groups, outcomes))
    path = config.out or config.run / "evaluation.json"
    document = {
        "run": str(config.run),
        "step": run.step,
        "data": [str(path) for path in config.data],
        "examples": len(outcomes),
        "seed": config.seed,
        "resamples": config.resamples,
        "measures": metrics_to_json(found),
        "groups": {group: metrics_to_json(measured) for group, measured in groups.items()},
    }
    with atomic_write(path) as file:
        file.write(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    print(f"written: {path}")
    picture_alignments(run)
    return 0
