"""``minitransformer train``."""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from minitransformer.cli.flags import parse
from minitransformer.cli.progress import Progress, interruptible
from minitransformer.cli.report import (
    baselines,
    introduction,
    plot_losses,
    print_table,
    sample,
    summary,
)
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.configuration import TrainConfig, load_config
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.memory import keep_freed_memory
from minitransformer.runs import Run, saved_config

SAMPLE, LONG_SAMPLE = 120, 600  # tokens


@dataclass(frozen=True)
class TrainCommand:
    """Train a GPT on text and leave a run folder: settings, tokenizer, checkpoints, loss curve.

    Ctrl-C saves and stops; --resume goes on as if nothing had happened.

    Examples
    --------
      minitransformer train
      minitransformer train --data book.txt notes/ --tokenizer bpe --steps 3000
      minitransformer train --layers 6 --heads 6 --width 192 --out runs/wider
      minitransformer train --config my.toml --seed 2
      minitransformer train --resume runs/001
    """

    settings: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """What to train, and how."""
    config: Path | None = None
    """TOML file with any of these settings; flags overrule it."""
    resume: Path | None = None
    """Run folder to go on with, from its newest checkpoint."""


def main(arguments: list[str]) -> int:
    """Train from flags, a file, or where an earlier run stopped."""
    keep_freed_memory()
    run = _start(arguments)
    warm_up_if_cold()
    with Progress(run.step, run.config.steps) as progress:
        progress.note(introduction(run) + "\n")
        began = time.monotonic()
        try:
            validation_loss = _train(run, progress)
        except InputError as error:
            raise InputError(
                f"{error}\nThe last checkpoint is safe; when this is mended, go on with: "
                f"minitransformer train --resume {run.folder}"
            ) from error
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}\nThe last good checkpoint is in {run.folder}; go on from there with: "
                f"minitransformer train --resume {run.folder} "
                f"--learning-rate {run.config.learning_rate / 3:.2g} "
                f"--final-learning-rate {run.config.final_learning_rate / 3:.2g}"
            ) from error
        seconds = time.monotonic() - began
        picture = run.folder / "loss.png"
        plot_losses(run.metrics(), baselines(run), picture)
        if validation_loss is None:
            progress.note(
                f"\nstopped at step {run.step} and saved; go on with:\n"
                f"  minitransformer train --resume {run.folder}"
            )
            return 130
        progress.note(f"\n{sample(run, LONG_SAMPLE)}\n", style="cyan")
    print_table(summary(run, validation_loss))
    print(
        f"trained to step {run.step} in {seconds:.0f} s; loss curve: {picture}\n"
        f"go on with:\n"
        f'  minitransformer generate {run.folder} --prompt "The "'
    )
    return 0


def _start(arguments: list[str]) -> Run:
    peek = argparse.ArgumentParser("minitransformer train", add_help=False, allow_abbrev=False)
    peek.add_argument("--config", type=Path)
    peek.add_argument("--resume", type=Path)
    given, _ = peek.parse_known_args(arguments)
    if given.config and given.resume:
        raise InputError("--config and --resume were both given; a run has its own settings")
    if given.resume:
        defaults = saved_config(given.resume)
    else:
        defaults = load_config(given.config) if given.config else TrainConfig()
    config = parse(TrainCommand, "train", arguments, TrainCommand(defaults)).settings
    return Run.resume(given.resume, config) if given.resume else Run.create(config)


def _train(run: Run, progress: Progress) -> float | None:
    """Train and save; the validation loss at the end, or None if Ctrl-C came before."""
    config = run.config
    with interruptible() as interrupted:
        for step in run.steps():
            progress.show(step)
            if step.index == config.steps:
                break
            if step.index % config.evaluate_every == 0:
                loss = run.validate(config.evaluate_batches)
                run.save()  # after its loss was seen to be finite
                progress.note(f"step {step.index}: validation loss {loss:.3f}", style="bold")
                progress.note(f"{sample(run, SAMPLE)}\n", style="dim")
            if interrupted():
                run.save()
                return None
        loss = run.validate()
        run.save()
        return loss
