"""What the scaling benchmark tells: a table, an alpha-beta model, predictions and a picture."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from matplotlib.figure import Figure

from benchmarks.network import NETWORKS, AlphaBeta, fit, ring_seconds
from minitransformer.files import atomic_write

PREDICTED = (8, 64, 256, 1024)
PARTS = {"computing": "#0072b2", "sending": "#d55e00", "waiting": "#8a6100"}


class Turn(NamedTuple):
    """Medians of one turn, in seconds per step, and what was sent."""

    step: float
    communication: float
    waiting: float
    bytes_reduced: int
    moments: dict[str, int]  # strategy, and bytes that an optimizer remembers on a rank
    messages: dict[str, float]  # bytes, and seconds of an all-reduce


Turns: TypeAlias = Mapping[tuple[str, int], Sequence[Turn]]
"""By kind of scaling and number of ranks."""

COLUMNS = (
    "scaling", "ranks", "step ms", "computing", "sending", "waiting",
    "sent MB", "least MB", "throughput",
)  # fmt: skip


def cells(plan: tuple[str, int], own: Sequence[Turn], alone: Sequence[Turn]) -> list[str]:
    """One line of the table."""
    kind, ranks = plan
    step, sending, waiting = (
        1e3 * statistics.median(getattr(turn, name) for turn in own)
        for name in ("step", "communication", "waiting")
    )
    work = ranks if kind == "weak" else 1
    throughput = statistics.median(
        work * before.step / now.step for before, now in zip(alone, own, strict=True)
    )
    sent = own[0].bytes_reduced if ranks > 1 else 0
    return [
        kind,
        str(ranks),
        f"{step:.1f}",
        f"{step - sending - waiting:.1f}",
        f"{sending:.1f}",
        f"{waiting:.1f}",
        f"{sent / 1e6:.2f}",
        f"{2 * (ranks - 1) / ranks * sent / 1e6:.2f}",
        f"{throughput:.2f}",
    ]


def fit_messages(turns: Turns) -> AlphaBeta:
    """Latency and time per byte of an all-reduce between the most ranks measured."""
    most = max(ranks for _, ranks in turns)
    measured = [turn.messages for plan, own in turns.items() if plan[1] == most for turn in own]
    seconds = {int(size): statistics.median(m[size] for m in measured) for size in measured[0]}
    return fit(seconds)


def notes(turns: Turns) -> list[str]:
    """How to read the table, and what follows from it."""
    most = max(ranks for _, ranks in turns)
    model = fit_messages(turns)
    moments = turns["strong", most][0].moments
    return [
        "Throughput: that of one process that has all cores is 1, round by round. Least: a ring "
        "all-reduce sends 2 (n - 1) / n of the gradient from every rank.",
        f"Moments of AdamW on each of {most} ranks: "
        + ", ".join(f"{size / 1e6:.1f} MB {name.lower()}" for name, size in moments.items())
        + ".",
        f"An all-reduce of {most} ranks here takes {1e6 * model.alpha:.0f} us and "
        f"{1e9 * model.beta:.2f} ms for each MB.",
        "Predicted share of perfect weak scaling, with a ring all-reduce, nothing overlapped and "
        "no rank late: "
        + "; ".join(
            f"{name} ({network}): "
            + ", ".join(f"n = {n} {share(turns, network, n):.0%}" for n in PREDICTED)
            for name, network in NETWORKS.items()
        )
        + ".",
    ]


def share(turns: Turns, network: AlphaBeta, ranks: int) -> float:
    """Part of a step that is not the all-reduce, if each rank computes as one process here."""
    computing = statistics.median(turn.step for turn in turns["weak", 1])
    payload = turns["weak", 1][0].bytes_reduced
    return computing / (computing + ring_seconds(network, ranks, payload))


def draw(turns: Turns, path: Path) -> None:
    """Draw where the time of a step goes, and what the model predicts for more ranks."""
    figure = Figure(figsize=(10, 4), dpi=144, layout="constrained", facecolor="white")
    measured, predicted = figure.subplots(1, 2)
    names = [f"{kind}\n{ranks} rank{'s' * (ranks > 1)}" for kind, ranks in turns]
    bottom = [0.0] * len(names)
    for part, colour in PARTS.items():
        heights = [1e3 * _seconds(own, part) for own in turns.values()]
        measured.bar(names, heights, bottom=bottom, label=part, color=colour)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    measured.set(ylabel="ms per step", title="measured here")
    measured.legend(frameon=False)
    counts = [2**k for k in range(11)]
    for (name, network), style in zip(NETWORKS.items(), ("o-", "s--"), strict=True):
        shares = [share(turns, network, n) for n in counts]
        predicted.plot(counts, shares, style, markersize=4, label=f"{name}, {network}")
    predicted.set(xscale="log", ylim=(0, 1.05), xlabel="ranks", title="predicted, weak scaling")
    predicted.set_ylabel("share of perfect scaling")
    predicted.set_xticks([1, 8, 64, 256, 1024], labels=["1", "8", "64", "256", "1024"])
    predicted.minorticks_off()
    predicted.grid(alpha=0.25)
    predicted.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _seconds(own: Sequence[Turn], part: str) -> float:
    sending = statistics.median(turn.communication for turn in own)
    waiting = statistics.median(turn.waiting for turn in own)
    step = statistics.median(turn.step for turn in own)
    return {"computing": step - sending - waiting, "sending": sending, "waiting": waiting}[part]
