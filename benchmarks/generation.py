"""Greedy decoding, one token at a time: ``python -m benchmarks.generation``."""

import sys
from dataclasses import asdict, dataclass, field
from typing import Literal

import tyro

from benchmarks.contest import Schedule, contest
from benchmarks.contestant import Entry
from benchmarks.decoding import NEW_TOKENS, PROMPT_LENGTH
from benchmarks.problem import SIZES
from benchmarks.results import CELLS, Result

OURS = "minitransformer, numba"
TOLERANCE = 1e-4
"""Of float32 logits against float64 ones; tokens are equal."""


@dataclass(frozen=True)
class Settings:
    """Time each token of greedy decoding with kept keys and values.

    Who does not give the logits and the tokens of the reference (the textbook in float64) is not
    timed.
    """

    size: Literal["small", "mid", "gpt2"] = "gpt2"
    """Of the model."""
    only: tuple[str, ...] = ()
    """Contestants whose name contains one of these; by default all."""
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    """How long to measure."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def entries(settings: Settings) -> list[Entry]:
    """All contestants."""
    size, threads = asdict(SIZES[settings.size]), settings.schedule.threads
    ours = "benchmarks.contestants.ours:Generation"
    torch = "benchmarks.contestants.torch_decoding:Generation"
    found = [
        Entry(OURS, ours, {"size": size, "backend": "numba"}),
        Entry("minitransformer, numpy", ours, {"size": size, "backend": "numpy"}),
        *(
            Entry(name, torch, {"size": size, "threads": threads, "in_out": in_out}, ("torch",))
            for name, in_out in {"PyTorch, Conv1D": True, "PyTorch, Linear": False}.items()
        ),
        Entry(
            "reading the weights from memory",
            "benchmarks.contestants.limits:Reading",
            {"size": 4 * SIZES[settings.size].weights},
            is_limit=True,
        ),
    ]
    return [e for e in found if not settings.only or any(part in e.name for part in settings.only)]


def main(settings: Settings) -> int:
    """Measure, print; 1 if a contestant is wrong."""
    size = SIZES[settings.size]
    textbook = {"size": asdict(size), "backend": "numpy", "dtype": "float64"}
    reference = Entry("the textbook in float64", "benchmarks.contestants.ours:Generation", textbook)
    outcome = contest(entries(settings), {"": reference}, TOLERANCE, settings.schedule)
    model = size.model
    return outcome.report(
        Result(
            name=f"generation-{settings.size}",
            title=f"One token of greedy decoding: {model.layers} layers, width {model.width}, "
            f"{model.vocab_size} tokens, {NEW_TOKENS - 1} tokens after {PROMPT_LENGTH}, "
            f"{settings.schedule.threads} threads",
            command=f"python -m benchmarks.generation --size {settings.size}",
            columns=CELLS,
        ),
        OURS,
        settings.save,
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
