"""How long a prompt takes to be read: ``python -m benchmarks.first_token``."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from benchmarks.contest import Schedule, contest
from benchmarks.contestant import Entry
from benchmarks.decoding import LONG_PROMPT
from benchmarks.results import CELLS, Result
from minitransformer.models import Llama, LlamaConfig
from minitransformer.pretrained import save_pretrained

OURS = "minitransformer, numba"
TOLERANCE = 1e-3
"""Of logits in float32, of whoever computes."""
SHAPE = LlamaConfig(
    vocab_size=49152,
    context=2048,
    layers=30,
    heads=9,
    kv_heads=3,
    width=576,
    hidden=1536,
    rotary_base=100_000.0,
    tied=True,
    norm_eps=1e-5,
)
"""Of SmolLM2-135M."""


@dataclass(frozen=True)
class Settings:
    """Time the first token that follows a prompt, with a Llama of SmolLM2-135M's shape.

    Who does not give the logits of the textbook is not timed.
    """

    only: tuple[str, ...] = ()
    """Contestants whose name contains one of these; by default all."""
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    """How long to measure."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def entries(folder: str, threads: int, only: Sequence[str] = ()) -> list[Entry]:
    """All contestants, whose weights are in a folder."""
    theirs = "benchmarks.contestants.transformers_llama:FirstToken"
    found = [
        Entry(OURS, "benchmarks.contestants.ours:FirstToken", {"folder": folder}),
        Entry(
            "transformers, PyTorch",
            theirs,
            {"folder": folder, "threads": threads},
            ("torch", "transformers"),
        ),
    ]
    return [e for e in found if not only or any(part in e.name for part in only)]


def main(settings: Settings) -> int:
    """Measure, print; 1 if a contestant is wrong."""
    threads = settings.schedule.threads
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(Llama(SHAPE), folder)
        ours = "benchmarks.contestants.ours:FirstToken"
        reference = Entry("the textbook", ours, {"folder": folder, "backend": "numpy"})
        outcome = contest(
            entries(folder, threads, settings.only), {"": reference}, TOLERANCE, settings.schedule
        )
    return outcome.report(
        Result(
            name="first-token",
            title=f"The first token after a prompt of {LONG_PROMPT}: Llama, {SHAPE.layers} layers, "
            f"width {SHAPE.width}, {SHAPE.vocab_size} tokens, {threads} threads",
            command="python -m benchmarks.first_token",
            columns=CELLS,
        ),
        OURS,
        settings.save,
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
