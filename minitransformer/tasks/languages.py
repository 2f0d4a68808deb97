"""Language modelling in many languages at once, of which the rare ones are read more often."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    Batch,
    Tokens,
    open_tokens,
    read_text,
    split,
    validation_batches,
    write_tokens,
)
from minitransformer.data.languages import language_probabilities, sample_multilingual_batch
from minitransformer.errors import InputError
from minitransformer.evaluation import losses_by_group
from minitransformer.generation import stream
from minitransformer.tasks.base import DECODERS, Task
from minitransformer.tasks.vocabulary import learn_vocabulary
from minitransformer.tasks.windows import check_length
from minitransformer.tokenizers import load_tokenizer


@dataclass(frozen=True)
class LanguagesOptions:
    """Settings of the task ``languages``."""

    temperature: float = 3.0
    """At 1 languages are read in proportion to their sizes; the higher, the more alike."""

    def __post_init__(self) -> None:
        language_probabilities([1.0], self.temperature)


class LanguagesTask(Task):
    """The next token of texts in many languages: each file or folder of the data is one.

    The run folder holds each language as ``tokens-NAME.npy``, and one vocabulary for all.
    """

    Options = LanguagesOptions
    architectures: ClassVar[tuple[str, ...]] = DECODERS

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.train_tokens: dict[str, Tokens] = {}
        self.validation_tokens: dict[str, Tokens] = {}
        for path in sorted(folder.glob("tokens-*.npy")):
            name = path.stem.removeprefix("tokens-")
            self.train_tokens[name], self.validation_tokens[name] = split(
                open_tokens(path), config.validation_fraction
            )

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Learn one vocabulary from all texts, and encode each."""
        texts = _read(config.data)
        tokenizer = learn_vocabulary("".join(texts.values()), config)
        for name, text in texts.items():
            tokens = np.asarray(tokenizer.encode(text))
            try:
                check_length(tokens, config)
            except InputError as error:
                raise InputError(f"language {name}: {error}") from error
            write_tokens(folder / f"tokens-{name}.npy", tokens, tokenizer.vocab_size)
        tokenizer.save(folder / "tokenizer.json")

    def model_config(self) -> Any:
        return self.config.model(vocab_size=self.tokenizer.vocab_size)

    def batch(self, step: int) -> Batch:
        c = self.config
        return sample_multilingual_batch(
            self.train_tokens, c.batch, c.context, self.options.temperature, c.seed, step
        )

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        return chain.from_iterable(self._validation(limit).values())

    def _validation(self, limit: int | None) -> dict[str, Iterator[Batch]]:
        """Of each language, so that together there are about ``limit`` batches."""
        c = self.config
        each = None if limit is None else -(-limit // len(self.validation_tokens))
        return {
            name: validation_batches(tokens, c.batch, c.context, each)
            for name, tokens in self.validation_tokens.items()
        }

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The loss of every window, by language."""
        return losses_by_group(model, self._validation(limit), self.tokenizer)

    def measure_on(self, data: Sequence[Path]) -> None:
        """Encode other texts, each a language, with the run's vocabulary."""
        encode = self.tokenizer.encode
        texts = _read(tuple(data))
        self.validation_tokens = {name: np.asarray(encode(text)) for name, text in texts.items()}

    def example(self, model: Any, length: int) -> str:
        """What the model makes of the first tokens of each language."""
        lines = []
        for name, tokens in self.validation_tokens.items():
            prompt = tokens[: self.config.context // 4].tolist()
            each = max(1, length // len(self.validation_tokens))
            ids = stream(model, prompt, max_new_tokens=each, do_sample=True, temperature=0.8)
            lines.append(f"{name}: {self.tokenizer.decode([*prompt, *ids])!r}")
        return "\n".join(lines)

    def describe(self) -> str:
        sizes = {name: len(tokens) for name, tokens in self.train_tokens.items()}
        shares = language_probabilities(list(sizes.values()), self.options.temperature)
        languages = ", ".join(
            f"{name} {size:,} tokens ({share:.0%} of what is read)"
            for (name, size), share in zip(sizes.items(), shares, strict=True)
        )
        return f"{languages}\n{self.tokenizer.vocab_size:,} different tokens"


def _read(data: tuple[Path, ...]) -> dict[str, str]:
    names = [path.stem for path in data]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"data is {', '.join(map(str, data)) or 'missing'}, expected a file or folder for each "
            "language, whose names differ: they name the languages"
        )
    return {name: read_text(path) for name, path in zip(names, data, strict=True)}
