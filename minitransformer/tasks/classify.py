"""Sequence classification with few labels: which section of the library a passage is about."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minitransformer.configuration import TrainConfig
from minitransformer.data import EncoderBatch
from minitransformer.data.labels import require_every_class
from minitransformer.errors import InputError
from minitransformer.models import ClassifierConfig
from minitransformer.tasks.base import TRUNKS, Task
from minitransformer.tasks.pairs import spread, write_pairs
from minitransformer.tasks.passages import (
    SECTIONS,
    Passage,
    load_passages,
    read_passages,
    unlabelled_text,
)
from minitransformer.tasks.vocabulary import MASK, learn_vocabulary
from minitransformer.tokenizers import load_tokenizer

STREAM = 0xC1A5
"""Keeps these random numbers apart from others drawn with the same seed and step."""


@dataclass(frozen=True)
class ClassifyOptions:
    """Settings of the task ``classify``."""

    labels: float = 0.1
    """Share of the training passages whose section is told; at least one of each section."""
    pooling: str = "mean"
    """What the head reads: the mean of all tokens, the first, or the last."""

    def __post_init__(self) -> None:
        if not 0 < self.labels <= 1:
            raise InputError(f"labels is {self.labels}, expected more than 0 and at most 1")


class ClassifyTask(Task):
    """The package of the standard library that a docstring is from.

    The run folder holds all passages as ``passages.tsv``: what each is for, its section and its
    text. The vocabulary is that of the run that it starts from; without one it is learned from the
    same text as that of the task ``masked-text``.
    """

    Options = ClassifyOptions
    architectures: ClassVar[tuple[str, ...]] = TRUNKS

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        passages = load_passages(folder / "passages.tsv")
        self.labelled = self._draw([p for p in passages if p.part == "train"])
        require_every_class([SECTIONS.index(p.section) for p in self.labelled], SECTIONS)
        self.held_out = [p for p in passages if p.part == "held out"]
        self._train, self._held_out = (self._encode(p) for p in (self.labelled, self.held_out))
        self._validation = self._encode([p for p in passages if p.part == "validation"])

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Take over the vocabulary of the run that this one starts from, or learn it."""
        write_pairs(folder / "passages.tsv", read_passages())
        learn_vocabulary(unlabelled_text(), config, MASK).save(folder / "tokenizer.json")

    def _draw(self, passages: Sequence[Passage]) -> list[Passage]:
        """As many of each section as labels are told."""
        rng = np.random.default_rng([STREAM, self.config.seed])
        kept: list[Passage] = []
        for section in SECTIONS:
            own = [passage for passage in passages if passage.section == section]
            count = max(1, round(self.options.labels * len(own)))
            kept += [own[i] for i in rng.permutation(len(own))[:count]]
        return kept

    def _encode(self, passages: Sequence[Passage]) -> EncoderBatch:
        """Cut passages to the context, and pad them to it."""
        context = self.config.context
        ids = [self.tokenizer.encode(passage.text)[:context] for passage in passages]
        inputs = np.array([each + [0] * (context - len(each)) for each in ids])
        sections = np.array([SECTIONS.index(passage.section) for passage in passages])
        return EncoderBatch(inputs, np.array([len(each) for each in ids]), sections)

    def model_config(self) -> ClassifierConfig:
        trunk = self.config.model(vocab_size=self.tokenizer.vocab_size)
        pooling = self.options.pooling
        return ClassifierConfig(trunk, outputs=len(SECTIONS), pooling=pooling)

    def batch(self, step: int) -> EncoderBatch:
        c = self.config
        rng = np.random.default_rng([STREAM, c.seed, step])
        return _rows(self._train, rng.integers(len(self._train.inputs), size=c.batch))

    def validation(self, limit: int | None = None) -> Iterator[EncoderBatch]:
        """Passages to choose a learning rate and the last step by; none of the held-out ones."""
        return self._batches(self._validation, None if limit is None else limit * self.config.batch)

    def _batches(self, encoded: EncoderBatch, limit: int | None) -> Iterator[EncoderBatch]:
        rows, size = spread(len(encoded.inputs), limit), self.config.batch
        return (_rows(encoded, rows[start : start + size]) for start in range(0, len(rows), size))

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The section that the model takes each held-out passage to be from."""
        from minitransformer.evaluation import Labels

        truth, predicted = [], []
        for batch in self._batches(self._held_out, limit):
            scores, _ = model(batch)
            truth += batch.targets.tolist()
            predicted += scores.argmax(axis=-1).tolist()
        return Labels(truth, predicted, SECTIONS)

    def measure_on(self, data: Sequence[Path]) -> None:
        """Let the passages of other files be classified: lines as in ``passages.tsv``."""
        self.held_out = [passage for path in data for passage in load_passages(path)]
        self._held_out = self._encode(self.held_out)

    def example(self, model: Any, length: int) -> str:
        """A few held-out passages, and the sections that they are taken to be from."""
        rows = spread(len(self.held_out), max(1, length // 40))
        scores, _ = model(_rows(self._held_out, rows))
        return "\n".join(
            f"{self.held_out[row].text[:60]} … → {SECTIONS[best]}"
            for row, best in zip(rows, scores.argmax(axis=-1), strict=True)
        )

    def describe(self) -> str:
        counts = Counter(passage.section for passage in self.labelled)
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        others = f"{len(self._validation.inputs)} to choose by, {len(self.held_out)} held out"
        return f"{len(self.labelled)} passages with labels ({told})\n{others}"

    def levels(self) -> dict[str, float]:
        return {"every section equally likely": math.log(len(SECTIONS))}


def _rows(batch: EncoderBatch, rows: NDArray[np.int64]) -> EncoderBatch:
    """Some sequences, without the padding that is longer than any of them."""
    lengths = batch.lengths[rows]
    return EncoderBatch(batch.inputs[rows, : lengths.max()], lengths, batch.targets[rows])
