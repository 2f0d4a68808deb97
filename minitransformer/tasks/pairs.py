"""From a source to a target: what every task of an encoder-decoder has in common."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minitransformer.configuration import TrainConfig
from minitransformer.data import PairBatch, pair_batch
from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.generation import generate
from minitransformer.tasks.base import Task
from minitransformer.tasks.vocabulary import learn_vocabulary
from minitransformer.tokenizers import load_tokenizer

STREAM = 0x9A12
"""Keeps these random numbers apart from others drawn with the same seed and step."""

EDGE = "\n"
"""What the decoder reads first, and says last."""

DECODE_AT_ONCE = 200
"""Held-out examples that are decoded side by side."""


class Pair(NamedTuple):
    """One example."""

    group: str  # such as a language: what results are told apart by
    source: str
    target: str


class Alignment(NamedTuple):
    """Where the decoder looked in the source as it wrote each token."""

    source: list[str]  # S tokens
    target: list[str]  # T tokens, and the end
    weights: np.ndarray  # (T + 1, S), each row sums to 1


class PairTask(Task):
    """Read a source, write its target.

    The run folder holds the examples as ``train.tsv`` and ``held_out.tsv``, a group, a source and a
    target in each line, and the vocabulary of both as ``tokenizer.json``.
    """

    architectures: ClassVar[tuple[str, ...]] = ("encoder-decoder",)
    bleu: ClassVar[bool] = False
    """Whether targets are sentences, which BLEU is made for."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        (self.edge,) = self.tokenizer.encode(EDGE)
        self.train_pairs = read_pairs(folder / "train.tsv")
        self.held_out_pairs = read_pairs(folder / "held_out.tsv")
        self._train = self._encode(self.train_pairs)
        self._held_out = self._encode(self.held_out_pairs)
        self._check_lengths(self._train + self._held_out)

    @classmethod
    @abstractmethod
    def pairs(cls, options: Any, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        """Examples to learn from, and held-out ones, whose content is in none of the former."""

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Draw the examples and learn a vocabulary from them."""
        options = cls.read_options(config.task_options)
        train, held_out = cls.pairs(options, np.random.default_rng([STREAM, config.seed]))
        write_pairs(folder / "train.tsv", train)
        write_pairs(folder / "held_out.tsv", held_out)
        text = "".join(f"{pair.source}{EDGE}{pair.target}{EDGE}" for pair in train + held_out)
        learn_vocabulary(text, config).save(folder / "tokenizer.json")

    def _encode(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        encode = self.tokenizer.encode
        return [(encode(pair.source), encode(pair.target)) for pair in pairs]

    def _check_lengths(self, encoded: Sequence[tuple[list[int], list[int]]]) -> None:
        shape = self.model_config()
        sources, targets = zip(*encoded, strict=True)
        longest = {
            "context": (max(map(len, sources)), shape.context),
            "target_context": (1 + max(map(len, targets)), shape.target_context),
        }
        for name, (needed, given) in longest.items():
            if needed > given:
                raise InputError(f"{name} is {given}, but the longest example needs {needed}")

    def model_config(self) -> Any:
        size = self.tokenizer.vocab_size
        return self.config.model(
            vocab_size=size, target_vocab_size=size, start_id=self.edge, end_id=self.edge
        )

    def batch(self, step: int) -> PairBatch:
        rng = np.random.default_rng([STREAM, self.config.seed, step])
        return self._batch(self._train, rng.integers(len(self._train), size=self.config.batch))

    def validation(self, limit: int | None = None) -> Iterator[PairBatch]:
        rows = spread(len(self._held_out), None if limit is None else limit * self.config.batch)
        starts = range(0, len(rows), self.config.batch)
        return (
            self._batch(self._held_out, rows[start : start + self.config.batch]) for start in starts
        )

    def _batch(self, encoded: Sequence[tuple[list[int], list[int]]], rows: np.ndarray) -> PairBatch:
        sources, targets = zip(*(encoded[row] for row in rows), strict=True)
        return pair_batch(sources, targets, self.edge, self.edge)

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """What the model writes for held-out sources, beside what it should have written."""
        from minitransformer.evaluation import Texts

        rows = spread(len(self.held_out_pairs), limit)
        pairs = [self.held_out_pairs[row] for row in rows]
        written = self.write(model, [pair.source for pair in pairs])
        return Texts(
            written,
            [pair.target for pair in pairs],
            bleu=self.bleu,
            groups=[pair.group for pair in pairs],
        )

    def measure_on(self, data: Sequence[Path]) -> None:
        """Let the pairs of other files be written: lines as in ``held_out.tsv``, in UTF-8."""
        pairs = [pair for path in data for pair in read_pairs(path)]
        encoded = self._encode(pairs)
        self._check_lengths(encoded)
        self.held_out_pairs, self._held_out = pairs, encoded

    def write(self, model: Any, sources: Sequence[str]) -> list[str]:
        """The targets that the model writes for these sources."""
        ids = [self.tokenizer.encode(source) for source in sources]
        written: list[str] = []
        for start in range(0, len(ids), DECODE_AT_ONCE):
            targets = generate(
                model,
                ids[start : start + DECODE_AT_ONCE],
                max_new_tokens=model.config.target_context,
            )
            written += [self.tokenizer.decode(target) for target in targets]
        return written

    def align(self, model: Any, source: str) -> Alignment:
        """Write the target of a source, and tell by which parts of the source.

        The weights are those of the last block's cross-attention, the mean over its heads.
        """
        ids = self.tokenizer.encode(source)
        (target,) = generate(model, [ids], max_new_tokens=model.config.target_context - 1)
        inputs = np.array([[self.edge, *target]])
        _, cache = model(PairBatch(np.array([ids]), np.array([len(ids)]), inputs, inputs))
        probs = cache.decoder.blocks[-1].cross_attention.probs
        return Alignment(self._tokens(ids), [*self._tokens(target), "end"], probs[0].mean(axis=0))

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.tokenizer.decode([token]) for token in ids]

    def example(self, model: Any, length: int) -> str:
        """A few held-out sources, and what the model writes."""
        rows = spread(len(self.held_out_pairs), max(1, length // 40))
        sources = [self.held_out_pairs[row].source for row in rows]
        return "\n".join(
            f"{source} → {target}"
            for source, target in zip(sources, self.write(model, sources), strict=True)
        )

    def describe(self) -> str:
        groups = sorted({pair.group for pair in self.train_pairs})
        return (
            f"{len(self.train_pairs):,} pairs, {len(self.held_out_pairs):,} held out: "
            f"{', '.join(groups)}\n{self.tokenizer.vocab_size:,} different tokens"
        )

    def levels(self) -> dict[str, float]:
        return {"every token equally likely (ln V)": math.log(self.tokenizer.vocab_size)}


def spread(count: int, limit: int | None) -> np.ndarray:
    """All of ``count`` rows, or ``limit`` of them at equal distances."""
    kept = count if limit is None else min(count, limit)
    return np.arange(kept) * count // kept


def write_pairs(path: Path, pairs: Sequence[tuple[str, str, str]]) -> None:
    """Write pairs, one in a line, their parts between tabs."""
    with atomic_write(path) as file:
        for pair in pairs:
            file.write(("\t".join(pair) + "\n").encode())


def read_pairs(path: Path) -> list[Pair]:
    """Read what :func:`write_pairs` wrote.

    Raises
    ------
    InputError
        If the file is missing or damaged, or a source or target is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from error
    return [_pair(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]


def _pair(line: str, where: str) -> Pair:
    parts = line.split("\t")
    if len(parts) != 3 or not all(parts):
        raise InputError(
            f"{where} is damaged: it has {len(parts)} parts, {line[:40]!r}, expected a group, a "
            "source and a target with tabs between them, none of them empty"
        )
    return Pair(*parts)
