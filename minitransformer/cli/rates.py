"""``minitransformer rates``."""

import argparse
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from minitransformer.cli.flags import parse
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.configuration import TrainConfig
from minitransformer.learning_rate_finder import plot_trials, steepest, try_learning_rates
from minitransformer.memory import keep_freed_memory
from minitransformer.recipes import load_recipe
from minitransformer.runs import Run


@dataclass(frozen=True)
class RatesConfig:
    """Find a learning rate: let it grow from step to step until the loss explodes, and draw both.

    Nothing is kept but the picture. Training takes the same flags and recipes.

    Examples
    --------
      minitransformer rates
      minitransformer rates --recipe dates --trials 200
      minitransformer rates --data book.txt --layers 6 --width 192
    """

    settings: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """What to train, and how."""
    recipe: str | None = None
    """Name of a recipe, or a TOML file with any of these settings; flags overrule it."""
    trials: int = 100
    """Steps from the lowest learning rate to the highest."""
    low: float = 1e-6
    """Lowest learning rate."""
    high: float = 1.0
    """Highest learning rate."""
    picture: Path = Path("rates.png")
    """Loss over learning rate, as PNG."""


def main(arguments: list[str]) -> int:
    """Print the learning rate at which the loss falls fastest, and draw the picture."""
    keep_freed_memory()
    peek = argparse.ArgumentParser("minitransformer rates", add_help=False, allow_abbrev=False)
    peek.add_argument("--recipe")
    recipe = peek.parse_known_args(arguments)[0].recipe
    defaults = RatesConfig(load_recipe(recipe) if recipe else TrainConfig())
    config = parse(RatesConfig, "rates", arguments, defaults)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(replace(config.settings, out=Path(folder) / "run"))
        warm_up_if_cold()
        tried = try_learning_rates(
            run.model,
            run.optimizer,
            run.task.batch,
            config.trials,
            low=config.low,
            high=config.high,
            clip=run.config.clip,
            seed=run.config.seed,
        )
        trials = list(tried)
        del run, tried  # Windows cannot remove a folder whose files are mapped into memory
    found = steepest(trials)
    plot_trials(trials, found, config.picture)
    print(
        f"tried {len(trials)} learning rates up to {trials[-1].learning_rate:.2g}; the loss falls "
        f"fastest at {found:.2g}; picture: {config.picture}\n"
        f"go on with:\n  minitransformer train --learning-rate {found:.2g} ..."
    )
    return 0
