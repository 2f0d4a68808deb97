"""Language modelling: learn which token comes next in a text."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    AnyBatch,
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
from minitransformer.generation import stream
from minitransformer.tasks.base import DECODERS, Task
from minitransformer.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, load_tokenizer


class TextTask(Task):
    """The next token of a text; any language model can learn it.

    The run folder holds the text as ``tokens.npy`` and the vocabulary as ``tokenizer.json``.
    """

    architectures: ClassVar[tuple[str, ...]] = DECODERS

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
        text = read_text(config.data) if config.data else default_text()
        tokenizer = learn_tokenizer(text, config)
        tokens = np.asarray(tokenizer.encode(text))
        check_length(tokens, config)
        write_tokens(folder / "tokens.npy", tokens, tokenizer.vocab_size)
        tokenizer.save(folder / "tokenizer.json")

    def model_config(self) -> Any:
        return self.config.model(vocab_size=self.tokenizer.vocab_size)

    def batch(self, step: int) -> AnyBatch:
        c = self.config
        return sample_batch(self.train_tokens, c.batch, c.context, c.seed, step)

    def validation(self, limit: int | None = None) -> Iterator[AnyBatch]:
        c = self.config
        return validation_batches(self.validation_tokens, c.batch, c.context, limit)

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The loss of every window, beside its number of tokens and of bytes."""
        from minitransformer.evaluation import losses

        return losses(model, self.validation(limit), self.tokenizer)

    def measure_on(self, data: Sequence[Path]) -> None:
        """Encode other texts with the run's vocabulary."""
        self.validation_tokens = np.asarray(self.tokenizer.encode(read_text(data)))

    def example(self, model: Any, length: int) -> str:
        """Text that the model makes of the first tokens of the validation text."""
        prompt = self.validation_tokens[: self.config.context // 4].tolist()
        ids = stream(model, prompt, max_new_tokens=length, do_sample=True, temperature=0.8)
        return self.tokenizer.decode([*prompt, *ids])

    def describe(self) -> str:
        source = ", ".join(map(str, self.config.data))
        unit = "characters" if self.config.tokenizer == "char" else "byte-pair tokens"
        return (
            f"{source or 'pydoc_data.topics, the English that Python ships'}\n"
            f"{len(self.tokens):,} {unit}, {self.tokenizer.vocab_size:,} different"
        )

    def levels(self) -> dict[str, float]:
        unit = "character" if self.config.tokenizer == "char" else "token"
        return {
            f"every {unit} equally likely (ln V)": math.log(self.tokenizer.vocab_size),
            f"frequency of each {unit} (unigram entropy)": unigram_entropy(self.tokens),
        }

    @cached_property
    def validation_characters(self) -> int:
        """Length of the validation text, in characters."""
        return len(self.tokenizer.decode(self.validation_tokens.tolist()))


def learn_tokenizer(text: str, config: TrainConfig) -> Tokenizer:
    """The vocabulary of the run to start from, or else of a text: its characters, or byte pairs."""
    if config.start_from is not None:
        return load_tokenizer(config.start_from / "tokenizer.json")
    if config.tokenizer == "char":
        return CharTokenizer.train(text)
    return BPETokenizer.train(text, config.bpe_tokens)


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
