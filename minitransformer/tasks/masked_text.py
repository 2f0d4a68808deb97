"""Masked language modelling: name the tokens of a text that were hidden."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    IGNORE,
    Batch,
    EncoderBatch,
    masked_lm_batch,
    objective_rng,
    split_batch,
)
from minitransformer.errors import InputError
from minitransformer.tasks.passages import unlabelled_text
from minitransformer.tasks.vocabulary import MASK, learn_vocabulary
from minitransformer.tasks.windows import WindowsTask
from minitransformer.tokenizers import Tokenizer


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


class MaskedTextTask(WindowsTask):
    """The hidden tokens of a text, from both sides; BERT learns it.

    By default the text is what pydoc tells of the standard library and of the language, without
    the passages that the task ``classify`` is measured on.
    """

    Options = MaskedTextOptions
    architectures: ClassVar[tuple[str, ...]] = ("bert",)
    default: ClassVar[str] = "what pydoc tells of the standard library and of the language"

    @classmethod
    def text(cls) -> str:
        return unlabelled_text()

    @classmethod
    def vocabulary(cls, text: str, config: TrainConfig) -> Tokenizer:
        """Byte pairs, and a token that hides others."""
        return learn_vocabulary(text, config, MASK)

    def ask(self, windows: Batch, step: int) -> EncoderBatch:
        tokens, options = windows.inputs, self.options
        return masked_lm_batch(
            tokens,
            objective_rng(self.config.seed, step),
            self.tokenizer.vocab_size - 1,  # MASK, the only special token
            self.tokenizer.vocab_size - 1,
            options.probability,
            self._word_starts[tokens].cumsum(axis=1) if options.masking == "words" else None,
            options.span_length if options.masking == "spans" else 1.0,
        )

    def example(self, model: Any, length: int) -> str:
        """The beginning of the validation text: hidden, and as the model fills it in."""
        row = split_batch(next(self.validation(1)), self.config.batch)[0]
        logits, _ = model(row)
        filled = np.where(row.targets != IGNORE, logits.argmax(axis=-1), row.inputs)
        texts = [self.tokenizer.decode(ids[0, :length].tolist()) for ids in (row.inputs, filled)]
        return "\n\n→\n\n".join(texts)

    @cached_property
    def _word_starts(self) -> NDArray[np.bool_]:
        """For each id whether a word begins with it: whether it does not begin with a letter."""
        first = (self.tokenizer.decode([i])[:1] for i in range(self.tokenizer.vocab_size))
        return np.array([not (character.isalnum() or character == "_") for character in first])
