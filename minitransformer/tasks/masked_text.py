"""Masked language modelling: name the tokens of a text that were hidden."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    IGNORE,
    EncoderBatch,
    masked_lm_batch,
    objective_rng,
    read_text,
    sample_batch,
    split_batch,
    validation_batches,
    write_tokens,
)
from minitransformer.errors import InputError
from minitransformer.tasks.passages import unlabelled_text
from minitransformer.tasks.text import TextTask, check_length
from minitransformer.tokenizers import BPETokenizer, load_tokenizer

MASK = "<mask>"
VALIDATION = 1 << 32
"""Where the steps begin whose random numbers hide tokens of the validation text."""


@dataclass(frozen=True)
class MaskedTextOptions:
    """Settings of the task ``masked-text``."""

    masking: str = "tokens"
    """What is hidden as a whole: tokens, words or spans."""
    probability: float = 0.15
    """Share of the tokens that are asked for."""
    span_length: float = 3.0
    """Mean length of spans, in tokens."""

    def __post_init__(self) -> None:
        if self.masking not in ("tokens", "words", "spans"):
            raise InputError(f"masking is {self.masking!r}, expected tokens, words or spans")


class MaskedTextTask(TextTask):
    """The hidden tokens of a text, from both sides; BERT learns it.

    By default the text is the language reference that Python ships, without the passages that
    the task ``classify`` is measured on.
    """

    Options = MaskedTextOptions
    architectures: ClassVar[tuple[str, ...]] = ("bert",)

    @classmethod
    def prepare(cls, folder: Path, config: TrainConfig) -> None:
        """Learn a vocabulary from the text, with a token that hides others, and encode it."""
        text = read_text(config.data) if config.data else unlabelled_text()
        tokenizer = learn_vocabulary(text, config, MASK)
        tokens = np.asarray(tokenizer.encode(text))
        check_length(tokens, config)
        write_tokens(folder / "tokens.npy", tokens, tokenizer.vocab_size)
        tokenizer.save(folder / "tokenizer.json")

    def batch(self, step: int) -> EncoderBatch:
        c = self.config
        windows = sample_batch(self.train_tokens, c.batch, c.context, c.seed, step).inputs
        return self._hide(windows, step)

    def validation(self, limit: int | None = None) -> Iterator[EncoderBatch]:
        c = self.config
        batches = validation_batches(self.validation_tokens, c.batch, c.context, limit)
        return (self._hide(batch.inputs, VALIDATION + i) for i, batch in enumerate(batches))

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The loss of the hidden tokens of every window."""
        from minitransformer.evaluation import losses

        return losses(model, self.validation(limit))

    def example(self, model: Any, length: int) -> str:
        """The beginning of the validation text: hidden, and as the model fills it in."""
        row = split_batch(next(self.validation(1)), self.config.batch)[0]
        logits, _ = model(row)
        filled = np.where(row.targets != IGNORE, logits.argmax(axis=-1), row.inputs)
        texts = [self.tokenizer.decode(ids[0, :length].tolist()) for ids in (row.inputs, filled)]
        return "\n\n→\n\n".join(texts)

    def _hide(self, windows: NDArray[np.int64], step: int) -> EncoderBatch:
        options = self.options
        return masked_lm_batch(
            windows,
            objective_rng(self.config.seed, step),
            self.tokenizer.vocab_size - 1,  # MASK, the only special token
            self.tokenizer.vocab_size - 1,
            options.probability,
            self._word_starts[windows].cumsum(axis=1) if options.masking == "words" else None,
            options.span_length if options.masking == "spans" else 1.0,
        )

    @cached_property
    def _word_starts(self) -> NDArray[np.bool_]:
        """For each id whether a word begins with it: whether it does not begin with a letter."""
        first = (self.tokenizer.decode([i])[:1] for i in range(self.tokenizer.vocab_size))
        return np.array([not (character.isalnum() or character == "_") for character in first])


def learn_vocabulary(text: str, config: TrainConfig, special: str) -> BPETokenizer:
    """Byte pairs of a text, and a special token, whose id is the last one.

    A run that starts from another has that one's vocabulary.

    Raises
    ------
    InputError
        If another vocabulary is asked for, or that of the other run has no special token.
    """
    if config.start_from is not None:
        known = load_tokenizer(config.start_from / "tokenizer.json")
        if not (isinstance(known, BPETokenizer) and known.special_tokens):
            raise InputError(
                f"the vocabulary of {config.start_from} has no special token, as {special}; start "
                "from a run of the task masked-text, classify or tag"
            )
        return known
    if config.tokenizer != "bpe":
        raise InputError(
            f'tokenizer is {config.tokenizer!r}, expected "bpe": the task needs {special}, a '
            "token that is no character"
        )
    return BPETokenizer.train(text, config.bpe_tokens, [special])
