"""Token labelling: what each piece of Python source is part of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    EncoderBatch,
    batch_offsets,
    open_tokens,
    read_text,
    split,
    write_tokens,
)
from minitransformer.errors import InputError
from minitransformer.models import TokenLabellerConfig
from minitransformer.models.long_texts import label_long_text
from minitransformer.tasks.base import TRUNKS, Task
from minitransformer.tasks.pairs import spread
from minitransformer.tasks.python_source import (
    LABELS,
    label_pieces,
    standard_library,
)
from minitransformer.tasks.vocabulary import learn_vocabulary
from minitransformer.tokenizers import Tokenizer, load_tokenizer

FILE_END = "<end>"
VOCABULARY_TEXT = 300_000
"""Characters that byte pairs are learned from."""


@dataclass(frozen=True)
class TagOptions:
    """Settings of the task ``tag``."""

    characters: int = 2_500_000
    """Of source, taken from the standard library."""


class TagTask(Task):
    """Is this part of a keyword, a name, a string ...? Python's own tokenizer knows.

    The run folder holds the byte pairs of source files as ``tokens.npy``, a special token behind
    each file, and their labels as ``labels.npy``.
    """

    Options = TagOptions
    architectures: ClassVar[tuple[str, ...]] = TRUNKS

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        tokens, labels = (open_tokens(folder / name) for name in ("tokens.npy", "labels.npy"))
        if len(tokens) != len(labels):
            raise InputError(
                f"{folder} is mixed up: it has {len(tokens)} tokens and {len(labels)} labels; put "
                "the right files back"
            )
        self.size = len(tokens)
        border = self._border(tokens)
        self.tokens, self.labels = tokens[:border], labels[:border]
        self.held_out = tokens[border:], labels[border:]

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Ask Python's tokenizer about the standard library."""
        sources = list(standard_library(cls.read_options(config.task_options).characters))
        if not sources:
            raise InputError("this Python has no standard library in source; nothing to learn")
        tokenizer = learn_vocabulary("".join(sources)[:VOCABULARY_TEXT], config, FILE_END)
        tokens, labels = _encode(sources, tokenizer)
        write_tokens(folder / "tokens.npy", tokens, tokenizer.vocab_size)
        write_tokens(folder / "labels.npy", labels, len(LABELS))
        tokenizer.save(folder / "tokenizer.json")

    def _border(self, tokens: NDArray[Any]) -> int:
        """Where the held-out files begin: no file is learned from in part."""
        learned, _ = split(tokens, self.config.validation_fraction)
        ends = np.flatnonzero(learned == self.tokenizer.vocab_size - 1) + 1
        if not len(ends) or ends[-1] < self.config.context:
            raise InputError(
                f"the files to learn from have {len(learned)} tokens, too few to hold others out; "
                "give more characters or a smaller validation_fraction"
            )
        return int(ends[-1])

    def model_config(self) -> TokenLabellerConfig:
        trunk = self.config.model(vocab_size=self.tokenizer.vocab_size)
        return TokenLabellerConfig(trunk, outputs=len(LABELS))

    def batch(self, step: int) -> EncoderBatch:
        c = self.config
        offsets = batch_offsets(len(self.tokens), c.batch, c.context, c.seed, step)
        return _windows(self.tokens, self.labels, offsets, c.context)

    def validation(self, limit: int | None = None) -> Iterator[EncoderBatch]:
        c = self.config
        tokens, labels = self.held_out
        rows = spread(len(tokens) // c.context, None if limit is None else limit * c.batch)
        for start in range(0, len(rows), c.batch):
            offsets = rows[start : start + c.batch] * c.context
            yield _windows(tokens, labels, offsets, c.context)

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The labels of whole files, each token's from the window where it is central."""
        from minitransformer.evaluation import Labels

        files = [self._files()[i] for i in spread(len(self._files()), limit)]
        predicted = [self.label(model, tokens) for tokens, _ in files]
        return Labels([labels for _, labels in files], predicted, LABELS, background=0)

    def label(self, model: Any, tokens: Sequence[int]) -> NDArray[np.int64]:
        """The best label of every token."""
        scores = label_long_text(model, tokens, overlap=self.config.context // 2)
        return np.asarray(scores.argmax(axis=-1), np.int64)

    def _files(self) -> list[tuple[Any, Any]]:
        tokens, labels = self.held_out
        borders = np.flatnonzero(tokens == self.tokenizer.vocab_size - 1) + 1
        parts = zip(np.split(tokens, borders), np.split(labels, borders), strict=True)
        return [(a.astype(np.int64), b.astype(np.int64)) for a, b in parts if len(a) > 1]

    def measure_on(self, data: Sequence[Path]) -> None:
        """Label other Python files."""
        tokens, labels = _encode([read_text(path) for path in data], self.tokenizer)
        if len(tokens) < self.config.context:
            raise InputError(
                f"the source has {len(tokens)} tokens, expected {self.config.context} or more, as "
                "many as the model reads at once"
            )
        self.held_out = tokens, labels

    def example(self, model: Any, length: int) -> str:
        """Some tokens, and the label of each."""
        tokens = self._files()[0][0][-length:]
        pieces = (repr(self.tokenizer.decode([token]))[1:-1] for token in tokens.tolist())
        labels = self.label(model, tokens)
        return "  ".join(
            f"{piece}/{LABELS[label]}" for piece, label in zip(pieces, labels, strict=True) if label
        )

    def describe(self) -> str:
        return (
            f"{self.size:,} tokens of the standard library, {self.tokenizer.vocab_size:,} "
            f"different; labels: {', '.join(LABELS)}"
        )

    def levels(self) -> dict[str, float]:
        return {"every label equally likely": math.log(len(LABELS))}


def _windows(
    tokens: NDArray[Any], labels: NDArray[Any], offsets: NDArray[np.int64], context: int
) -> EncoderBatch:
    places = offsets[:, None] + np.arange(context)
    lengths = np.full(len(offsets), context)
    return EncoderBatch(tokens[places].astype(np.int64), lengths, labels[places].astype(np.int64))


def _encode(
    sources: Sequence[str], tokenizer: Tokenizer
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of all files, a special one behind each, and their labels."""
    tokens, labels = [], []
    for source in sources:
        ids = tokenizer.encode(source)
        tokens += [*ids, tokenizer.vocab_size - 1]
        pieces = list(tokenizer.decode_stream(ids))[: len(ids)]
        labels += [*label_pieces(source, pieces), 0]
    return np.array(tokens, np.int64), np.array(labels, np.int64)
