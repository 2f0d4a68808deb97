"""What a training run says at its beginning and at its end."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from minitransformer.cli.metrics import metrics_table
from minitransformer.evaluation import Surprise, measures, surprise
from minitransformer.files import atomic_write
from minitransformer.launch import cores, local_ranks, share_cores
from minitransformer.records import Record
from minitransformer.runs import Run
from minitransformer.tasks import TextTask

TRAINING_COLOUR, VALIDATION_COLOUR = "#56b4e9", "#d55e00"  # safe for the colour-blind
SMOOTHING = 0.95


def introduction(run: Run) -> str:
    """What is about to be trained, on what."""
    c = run.config
    described = run.task.describe().replace("\n", "\n       ")
    return (
        f"{c.task:<6} {described}\n"
        f"model  {c.architecture}: {c.layers} layers, {c.heads} heads, width {c.width}, context "
        f"{c.context}; {run.model.parameter_count():,} parameters, backend {c.backend}\n"
        f"run    {run.folder}" + _ranks(run.comm.size)
    )


def _ranks(size: int) -> str:
    if size == 1:
        return ""
    threads = f"{share_cores()} of {cores()} cores each"
    return f"\nranks  {size}, {local_ranks()} of them on this machine with {threads}"


def summary(run: Run, validation_loss: float) -> Table:
    """What was learned, in numbers: the task's metrics, or how well text is predicted."""
    task = run.task
    if isinstance(task, TextTask):
        return _text_summary(task, validation_loss)
    outcomes = task.outcomes(run.model)
    return metrics_table(measures(outcomes), len(outcomes))


def _text_summary(task: TextTask, validation_loss: float) -> Table:
    rows = {**task.levels(), "this model, on validation text": validation_loss}
    unit = "character" if task.config.tokenizer == "char" else "token"
    per_token = [] if unit == "character" else [f"nats/{unit}", f"bits/{unit}"]
    table = Table("what is known", *per_token, "nats/character", "bits/character")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, nats in rows.items():
        known = surprise(nats, len(task.validation_tokens), task.validation_characters)
        table.add_row(name, *_figures(known, bool(per_token)))
    return table


def _figures(known: Surprise, per_token: bool) -> Iterator[str]:
    if per_token:
        yield f"{known.nats_per_token:.3f}"
        yield f"{known.bits_per_token:.3f}"
    yield f"{known.nats_per_character:.3f}"
    yield f"{known.bits_per_character:.3f}"


def print_table(table: Table) -> None:
    """Print as wide as the table needs, also where the terminal's width is unknown."""
    Console(width=None if Console().is_terminal else 120, highlight=False).print(table)


def plot_losses(metrics: list[Record], levels: dict[str, float], path: Path) -> None:
    """Draw training and validation loss over the steps.

    Parameters
    ----------
    metrics
        The records of ``metrics.jsonl``.
    levels
        Names and heights of lines to compare with, in nats per token.
    path
        PNG to write.
    """
    training = [(r["index"], r["loss"]) for r in metrics if "loss" in r]
    validation = [(r["index"], r["validation_loss"]) for r in metrics if "validation_loss" in r]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    if training:
        steps, losses = zip(*training, strict=True)
        axes.plot(steps, losses, color=TRAINING_COLOUR, alpha=0.3, linewidth=0.8)
        axes.plot(steps, smoothed(losses), color=TRAINING_COLOUR, label="training, running mean")
    if validation:
        steps, losses = zip(*validation, strict=True)
        axes.plot(steps, losses, "o-", color=VALIDATION_COLOUR, markersize=4, label="validation")
    for name, nats in levels.items():
        axes.axhline(nats, color="grey", linestyle=":", linewidth=1.0)
        across = axes.get_yaxis_transform()
        axes.text(0.99, nats, name, color="grey", ha="right", va="bottom", transform=across)
    axes.set(xlabel="step", ylabel="loss (nats)")
    axes.grid(alpha=0.25)
    axes.margins(y=0.08)
    if training or validation:
        axes.legend(frameon=False, loc="lower left")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=144)


def smoothed(values: tuple[float, ...]) -> list[float]:
    """Exponential running mean, corrected for its start as Adam's is."""
    mean, weight, smooth = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        smooth.append(mean / weight)
    return smooth
