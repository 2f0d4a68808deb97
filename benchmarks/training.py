"""Training steps: ``python -m benchmarks.training --size small``."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.contest import Schedule, contest
from benchmarks.contestant import Entry
from benchmarks.problem import SIZES
from benchmarks.results import CELLS, Result

LLM_C = "llm.c"
OURS = "minitransformer, numba"
TOLERANCE = 2e-4
"""Of float32 gradients against float64 ones, and of losses after some steps."""


@dataclass(frozen=True)
class Settings:
    """Time training steps of minitransformer and of everything else that is installed.

    All begin with the same weights and see the same batches. Who does not give the reference's
    loss, gradients and loss curve (the textbook in float64) is not timed.
    """

    size: Literal["small", "mid", "gpt2"] = "small"
    """Of model and batch."""
    only: tuple[str, ...] = ()
    """Contestants whose name contains one of these; by default all."""
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    """How long to measure."""
    llm_c: Path | None = None
    """Folder with the source of llm.c; it is then built and competes."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def entries(settings: Settings) -> list[Entry]:
    """All contestants."""
    size, threads = asdict(SIZES[settings.size]), settings.schedule.threads
    ours, torch = (
        "benchmarks.contestants.ours:Training",
        "benchmarks.contestants.torch_gpt:Training",
    )
    found = [
        Entry(OURS, ours, {"size": size, "backend": "numba"}),
        Entry("minitransformer, numpy", ours, {"size": size, "backend": "numpy"}),
        Entry("PyTorch eager", torch, {"size": size, "threads": threads}, ("torch",)),
        Entry(
            "PyTorch compiled",
            torch,
            {"size": size, "threads": threads, "compiled": True},
            ("torch",),
        ),
        Entry(
            "one matrix product of as many flops (OpenBLAS)",
            "benchmarks.contestants.limits:Product",
            {"multiply_adds": SIZES[settings.size].multiply_adds},
            is_limit=True,
        ),
        Entry("JAX", "benchmarks.contestants.jax_gpt:Training", {"size": size}, ("jax",)),
    ]
    if settings.llm_c:
        source = str(settings.llm_c.absolute())
        factory = "benchmarks.contestants.llm_c:Training"
        found.append(Entry(LLM_C, factory, {"size": size, "source": source}))
    return [e for e in found if not settings.only or any(part in e.name for part in settings.only)]


def references(settings: Settings) -> dict[str, Entry]:
    """The textbook in double precision; for llm.c without clipping and decay, as it has none."""
    factory = "benchmarks.contestants.ours:Training"
    textbook = {"size": asdict(SIZES[settings.size]), "backend": "numpy", "dtype": "float64"}
    plain = {**textbook, "weight_decay": 0.0, "clip": 1e9}
    found = {"": Entry("the textbook in float64", factory, textbook)}
    if settings.llm_c:
        found[LLM_C] = Entry("the same without clipping and decay", factory, plain)
    return found


def main(settings: Settings) -> int:
    """Measure, print; 1 if a contestant is wrong."""
    size = SIZES[settings.size]
    outcome = contest(entries(settings), references(settings), TOLERANCE, settings.schedule)
    model = size.model
    return outcome.report(
        Result(
            name=f"training-{settings.size}",
            title=f"One training step: {model.layers} layers, width {model.width}, "
            f"{model.heads} heads, {model.vocab_size} tokens, batch {size.batch} x {size.length}, "
            f"{settings.schedule.threads} threads",
            command=f"python -m benchmarks.training --size {settings.size}",
            columns=CELLS,
        ),
        OURS,
        settings.save,
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
