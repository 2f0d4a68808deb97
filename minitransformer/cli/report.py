"""What a training run says at its beginning and at its end."""

import math
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from minitransformer.data import unigram_entropy
from minitransformer.evaluation import Surprise, surprise
from minitransformer.files import atomic_write
from minitransformer.generation import stream
from minitransformer.records import Record
from minitransformer.runs import Run

TRAINING_COLOUR, VALIDATION_COLOUR = "#56b4e9", "#d55e00"  # safe for the colour-blind
SMOOTHING = 0.95


def introduction(run: Run) -> str:
    """What is about to be trained, on what."""
    c = run.config
    source = ", ".join(map(str, c.data)) or "pydoc_data.topics, the English that Python ships"
    unit = "characters" if c.tokenizer == "char" else "byte-pair tokens"
    return (
        f"text   {source}\n"
        f"       {len(run.tokens):,} {unit}, {run.tokenizer.vocab_size:,} different\n"
        f"model  GPT: {c.layers} layers, {c.heads} heads, width {c.width}, context {c.context}; "
        f"{run.model.parameter_count():,} parameters, backend {c.backend}\n"
        f"run    {run.folder}"
    )


def sample(run: Run, length: int) -> str:
    """Text that the model makes of the first tokens of the validation text."""
    prompt = run.validation_tokens[: run.config.context // 4].tolist()
    ids = stream(run.model, prompt, max_new_tokens=length, do_sample=True, temperature=0.8)
    return run.tokenizer.decode([*prompt, *ids])


def summary(run: Run, validation_loss: float) -> Table:
    """What was learned, in numbers, beside what chance and letter frequencies know."""
    tokens = len(run.validation_tokens)
    characters = len(run.tokenizer.decode(run.validation_tokens.tolist()))
    unit = "character" if run.config.tokenizer == "char" else "token"
    known = baselines(run)
    rows = {
        f"every {unit} equally likely (ln V)": known["ln V"],
        f"frequency of each {unit} (unigram entropy)": known["unigram entropy"],
        "this model, on validation text": validation_loss,
    }
    per_token = [] if unit == "character" else [f"nats/{unit}", f"bits/{unit}"]
    table = Table("what is known", *per_token, "nats/character", "bits/character")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, nats in rows.items():
        table.add_row(name, *_figures(surprise(nats, tokens, characters), bool(per_token)))
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


def baselines(run: Run) -> dict[str, float]:
    """What is known without a model, in nats per token."""
    return {
        "ln V": math.log(run.tokenizer.vocab_size),
        "unigram entropy": unigram_entropy(run.tokens),
    }


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
        axes.plot(steps, _smoothed(losses), color=TRAINING_COLOUR, label="training, running mean")
    if validation:
        steps, losses = zip(*validation, strict=True)
        axes.plot(steps, losses, "o-", color=VALIDATION_COLOUR, markersize=4, label="validation")
    for name, nats in levels.items():
        axes.axhline(nats, color="grey", linestyle=":", linewidth=1.0)
        across = axes.get_yaxis_transform()
        axes.text(0.99, nats, name, color="grey", ha="right", va="bottom", transform=across)
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.25)
    axes.margins(y=0.08)
    if training or validation:
        axes.legend(frameon=False, loc="lower left")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=144)


def _smoothed(values: tuple[float, ...]) -> list[float]:
    """Exponential running mean, corrected for its start as Adam's is."""
    mean, weight, smooth = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        smooth.append(mean / weight)
    return smooth
