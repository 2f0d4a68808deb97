"""Windows of a text: what every objective that needs no labels has in common."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    AnyBatch,
    Batch,
    default_text,
    open_tokens,
    read_text,
    sample_batch,
    split,
    unigram_entropy,
    validation_batches,
    write_tokens,
)
from minitransformer.errors import InputError
from minitransformer.tasks.base import Task
from minitransformer.tasks.vocabulary import learn_vocabulary
from minitransformer.tokenizers import Tokenizer, load_tokenizer

VALIDATION = 1 << 32
"""Where the steps begin whose random numbers hide parts of the validation text."""


class WindowsTask(Task):
    """Learn a text window by window; what is asked of a window is the objective.

    The run folder holds the text as ``tokens.npy`` and the vocabulary as ``tokenizer.json``.
    """

    default: ClassVar[str] = "pydoc_data.topics, the English that Python ships"
    """What is learned if no data is given."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.tokens = open_tokens(folder / "tokens.npy")
        self.train_tokens, self.validation_tokens = split(self.tokens, config.validation_fraction)
        if self.tokens.max() >= self.tokenizer.vocab_size:
            raise InputError(
                f"{folder} is mixed up: tokens.npy has the id {self.tokens.max()}, tokenizer.json "
                f"only {self.tokenizer.vocab_size} ids; put the right files back"
            )

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Learn a vocabulary from the text and encode it."""
        text = read_text(config.data) if config.data else cls.text()
        tokenizer = cls.vocabulary(text, config)
        tokens = np.asarray(tokenizer.encode(text))
        check_length(tokens, config)
        write_tokens(folder / "tokens.npy", tokens, tokenizer.vocab_size)
        tokenizer.save(folder / "tokenizer.json")

    @classmethod
    def text(cls) -> str:
        """The same, in full."""
        return default_text()

    @classmethod
    def vocabulary(cls, text: str, config: TrainConfig) -> Tokenizer:
        """What the text is written in."""
        return learn_vocabulary(text, config)

    @abstractmethod
    def ask(self, windows: Batch, step: int) -> AnyBatch:
        """What the model is asked in a step about windows (B, T), whose next tokens are targets."""

    def model_config(self) -> Any:
        return self.config.model(vocab_size=self.tokenizer.vocab_size)

    def batch(self, step: int) -> AnyBatch:
        c = self.config
        return self.ask(sample_batch(self.train_tokens, c.batch, c.context, c.seed, step), step)

    def validation(self, limit: int | None = None) -> Iterator[AnyBatch]:
        c = self.config
        batches = validation_batches(self.validation_tokens, c.batch, c.context, limit)
        return (self.ask(batch, VALIDATION + i) for i, batch in enumerate(batches))

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The loss of every window."""
        from minitransformer.evaluation import losses

        return losses(model, self.validation(limit))

    def measure_on(self, data: Sequence[Path]) -> None:
        """Encode other texts with the run's vocabulary."""
        self.validation_tokens = np.asarray(self.tokenizer.encode(read_text(data)))

    def describe(self) -> str:
        source = ", ".join(map(str, self.config.data)) or self.default
        unit = "characters" if self.config.tokenizer == "char" else "byte-pair tokens"
        return f"{source}\n{len(self.tokens):,} {unit}, {self.tokenizer.vocab_size:,} different"

    def levels(self) -> dict[str, float]:
        unit = "character" if self.config.tokenizer == "char" else "token"
        return {
            f"every {unit} equally likely (ln V)": math.log(self.tokenizer.vocab_size),
            f"frequency of each {unit} (unigram entropy)": unigram_entropy(self.tokens),
        }


def check_length(tokens: np.ndarray, config: TrainConfig) -> None:
    """See to it that both parts of a text are longer than the context.

    Raises
    ------
    InputError
        If one is not.
    """
    smaller = min(map(len, split(tokens, config.validation_fraction)))
    if smaller <= config.context:
        raise InputError(
            f"the text has {len(tokens)} tokens, too few for a context of {config.context}: with "
            f"validation_fraction {config.validation_fraction} one part has {smaller}, expected "
            f"{config.context + 1} or more. Give a longer text or a smaller context."
        )
