"""``minitransformer train``."""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from minitransformer.backend import get_backend
from minitransformer.cli.alignment import picture_alignments
from minitransformer.cli.flags import parse
from minitransformer.cli.progress import Progress, interruptible
from minitransformer.cli.ranks import on_all_ranks
from minitransformer.cli.report import (
    introduction,
    plot_losses,
    print_table,
    summary,
)
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.configuration import TrainConfig
from minitransformer.distributed import Communicator, any_rank, first_rank
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.memory import keep_freed_memory
from minitransformer.placement import is_imitated
from minitransformer.recipes import load_recipe
from minitransformer.runs import Run, saved_config
from minitransformer.tasks import TextTask

SAMPLE, LONG_SAMPLE = 120, 600  # tokens
FEW = 10  # tokens, where a GPU is imitated


@dataclass(frozen=True)
class TrainCommand:
    """Train a model and leave a run folder: settings, data, checkpoints, loss curve.

    Without a recipe it is a GPT on text. Ctrl-C saves and stops; --resume goes on as if nothing
    had happened.

    Examples
    --------
      minitransformer train
      minitransformer train --recipe dates
      minitransformer train --data book.txt notes/ --tokenizer bpe --steps 3000
      minitransformer train --layers 6 --heads 6 --width 192 --out runs/wider
      minitransformer train --recipe my.toml --seed 2
      minitransformer train --resume runs/001
    """

    settings: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """What to train, and how."""
    recipe: Annotated[str | None, tyro.conf.arg(aliases=["--config"])] = None
    """Name of a recipe, or a TOML file with any of these settings; flags overrule it."""
    resume: Path | None = None
    """Run folder to go on with, from its newest checkpoint."""


def main(arguments: list[str]) -> int:
    """Train from flags, a file, or where an earlier run stopped."""
    return on_all_ranks(lambda comm: _main(arguments, comm))


def _main(arguments: list[str], comm: Communicator) -> int:
    keep_freed_memory()
    run = _start(arguments, comm)
    first_rank(comm, warm_up_if_cold)
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
        if comm.rank > 0:
            return 130 if validation_loss is None else 0
        picture = run.folder / "loss.png"
        plot_losses(run.metrics(), run.task.levels(), picture)
        if validation_loss is None:
            progress.note(
                f"\nstopped at step {run.step} and saved; go on with:\n"
                f"  minitransformer train --resume {run.folder}"
            )
            return 130
        progress.note(f"\n{_example(run, LONG_SAMPLE)}\n", style="cyan")
    print_table(summary(run, validation_loss))
    print(f"trained to step {run.step} in {seconds:.0f} s; loss curve: {picture}")
    picture_alignments(run)
    if isinstance(run.task, TextTask):
        print(f'go on with:\n  minitransformer generate {run.folder} --prompt "The "')
    return 0


def _start(arguments: list[str], comm: Communicator) -> Run:
    peek = argparse.ArgumentParser("minitransformer train", add_help=False, allow_abbrev=False)
    peek.add_argument("--recipe", "--config")
    peek.add_argument("--resume", type=Path)
    given, _ = peek.parse_known_args(arguments)
    if given.recipe and given.resume:
        raise InputError("--recipe and --resume were both given; a run has its own settings")
    if given.resume:
        defaults = saved_config(given.resume)
    else:
        defaults = load_recipe(given.recipe) if given.recipe else TrainConfig()
    config = parse(TrainCommand, "train", arguments, TrainCommand(defaults)).settings
    return Run.resume(given.resume, config, comm) if given.resume else Run.create(config, comm)


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
                if run.comm.rank == 0:
                    progress.note(f"{_example(run, SAMPLE)}\n", style="dim")
                if run.has_stalled():
                    progress.note(f"no better validation loss in {config.patience}: going back\n")
                    run.rewind()
                    break
            if any_rank(run.comm, interrupted()):
                run.save()
                return None
        loss = run.validate(config.evaluate_batches if is_imitated(get_backend()) else None)
        run.save()
        return loss


def _example(run: Run, tokens: int) -> str:
    return run.task.example(run.model, FEW if is_imitated(get_backend()) else tokens)
