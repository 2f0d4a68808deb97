"""What the recipes reach on held-out data, seed by seed: ``python -m benchmarks.recipes``."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.contest import console
from benchmarks.results import Result
from minitransformer.evaluation import Measure, measures, measures_by_group
from minitransformer.memory import keep_freed_memory
from minitransformer.recipes import load_recipe, recipes
from minitransformer.runs import Run, select_backend

TARGETS: dict[str, dict[str, float]] = {
    "classify": {"accuracy": -math.inf},
    "dates": {"exact match": 0.99},
    "lm-gpt": {"loss": -math.inf},
    "lm-llama": {"loss": -math.inf},
    "mlm": {"loss": -math.inf},
    "multi-task": {"tag: F1 (micro)": -math.inf, "classify: accuracy": -math.inf},
    "numbers": {"exact match": 0.95, "BLEU": 95.0},
    "prefix-lm": {"loss": -math.inf},
    "span-corruption": {"loss": -math.inf},
    "tag": {"F1 (micro)": 0.98},
    "text2text": {"exact match": 0.95},
}
"""What is measured of each recipe, and the least that it must reach, in each group of examples."""

COLUMNS = ("recipe", "seed", "steps", "examples", "metric", "reached", "worst group", "asked")

STARTS = {"classify": "mlm"}
"""The recipe whose run, of the same seed, another one starts from."""


@dataclass(frozen=True)
class Settings:
    """Train recipes with several seeds, and measure them on data that they were not trained on.

    Runs that exist already are only measured, and those whose folder has a reached.json not even
    that; what is not trained to its end yet is left out.
    """

    recipes: tyro.conf.Positional[tuple[str, ...]] = tuple(recipes())
    """Names of recipes."""
    seeds: tuple[int, ...] = (1, 2, 3, 4)
    """Of data, initial parameters, batches and dropout."""
    folder: Path = Path("runs")
    """Holds a run folder for each, such as dates-1."""
    train: bool = True
    """Train what is not there."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def main(settings: Settings) -> int:
    """Train, measure and print."""
    keep_freed_memory()
    select_backend(None)
    rows: list[list[str]] = []
    for recipe in settings.recipes:
        for seed in settings.seeds:
            folder = settings.folder / f"{recipe}-{seed}"
            if settings.train and not folder.exists():
                console.print(f"training {folder}")
                train(recipe, seed, folder)
            if folder.exists():
                rows += reached(recipe, folder)
    result = Result(
        name="recipes",
        title="What the recipes reach on held-out data",
        command="python -m benchmarks.recipes",
        columns=COLUMNS,
        rows=rows,
        notes=[
            "In brackets the 95% confidence interval, by bootstrap over the examples. A group is a "
            "language, or a task of text2text. One run again: `minitransformer train --recipe NAME "
            "--seed SEED`.",
        ],
    )
    result.show()
    if settings.save:
        result.save()
    return 0


def train(recipe: str, seed: int, folder: Path) -> None:
    """Train to the end, as ``minitransformer train`` does."""
    start = STARTS.get(recipe)
    config = dataclasses.replace(
        load_recipe(recipe),
        seed=seed,
        out=folder,
        start_from=folder.with_name(f"{start}-{seed}") if start else None,
    )
    run = Run.create(config)
    for _ in run.steps():
        pass
    run.validate()
    run.save()


def reached(recipe: str, folder: Path) -> list[list[str]]:
    """The lines of one run, which are kept in its folder."""
    path = folder / "reached.json"
    if not path.exists():
        rows = list(measure(recipe, Run.open(folder)))
        if not rows:
            return []
        path.write_text(json.dumps(rows), encoding="utf-8")
    lines: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return lines


def measure(recipe: str, run: Run) -> Iterator[list[str]]:
    """The lines of one run."""
    if run.step < run.config.steps:
        return
    outcomes = run.task.outcomes(run.model)
    everything = {measure.name: measure for measure in measures(outcomes)}
    groups = measures_by_group(outcomes, resamples=1)
    for metric, least in TARGETS[recipe].items():
        found = {
            group: measure.value
            for group, of_group in groups.items()
            for measure in of_group
            if measure.name == metric
        }
        worst = min(found, key=lambda group: found[group], default="")
        yield [
            recipe,
            str(run.config.seed),
            f"{run.step:,}",
            f"{len(outcomes):,}",
            metric,
            interval(everything[metric]),
            f"{worst} {found[worst]:.4g}" if worst else "",
            f"{least:g}" if math.isfinite(least) else "",
        ]


def interval(measure: Measure) -> str:
    """A metric and its confidence interval."""
    return f"{measure.value:.4g} ({measure.low:.4g} to {measure.high:.4g})"


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
