"""Decoding with a Llama, token by token: ``python -m benchmarks.next_token``."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

from benchmarks.contest import Schedule, contest
from benchmarks.contestant import Entry
from benchmarks.decoding import NEW_TOKENS, PROMPT_LENGTH
from benchmarks.first_token import OURS, SHAPE, TOLERANCE
from benchmarks.results import CELLS, Result
from minitransformer.models import Llama
from minitransformer.pretrained import save_pretrained

OURS_CLASS = "benchmarks.contestants.ours:NextTokens"


@dataclass(frozen=True)
class Settings:
    """Time each token of greedy decoding, with a Llama of SmolLM2-135M's shape.

    Who does not give the logits and the tokens of the textbook is not timed. The weights are read
    from memory in two ways: the share of the bandwidth is that of the faster one.
    """

    only: tuple[str, ...] = ()
    """Contestants whose name contains one of these; by default all."""
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    """How long to measure."""
    save: bool = False
    """Keep the result in benchmarks/results/."""


def entries(folder: str, threads: int, weights: int, only: Sequence[str] = ()) -> list[Entry]:
    """All contestants, whose weights are in a folder."""
    found = [
        Entry(OURS, OURS_CLASS, {"folder": folder}),
        Entry(
            "transformers, PyTorch",
            "benchmarks.contestants.transformers_llama:NextTokens",
            {"folder": folder, "threads": threads},
            ("torch", "transformers"),
        ),
        *(
            Entry(
                f"reading the weights from memory, {reader}",
                f"benchmarks.contestants.{module}:Reading",
                {"size": 4 * weights},
                is_limit=True,
            )
            for reader, module in (("OpenBLAS", "limits"), ("our kernel", "ours"))
        ),
    ]
    return [e for e in found if not only or any(part in e.name for part in only)]


def main(settings: Settings) -> int:
    """Measure, print; 1 if a contestant is wrong."""
    threads = settings.schedule.threads
    with tempfile.TemporaryDirectory() as folder:
        model = Llama(SHAPE)
        weights = model.parameter_count()
        save_pretrained(model, folder)
        del model
        reference = Entry("the textbook", OURS_CLASS, {"folder": folder, "backend": "numpy"})
        found = entries(folder, threads, weights, settings.only)
        outcome = contest(found, {"": reference}, TOLERANCE, settings.schedule)
    return outcome.report(
        Result(
            name="next-token",
            title=f"One token of greedy decoding: Llama, {SHAPE.layers} layers, width "
            f"{SHAPE.width}, {SHAPE.vocab_size} tokens, {NEW_TOKENS - 1} tokens after "
            f"{PROMPT_LENGTH}, {threads} threads",
            command="python -m benchmarks.next_token",
            columns=CELLS,
        ),
        OURS,
        settings.save,
    )


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Settings, description=Settings.__doc__)))
