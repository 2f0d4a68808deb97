"""Span corruption: name the spans of a text that were cut out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from minitransformer.configuration import TrainConfig
from minitransformer.data import (
    Batch,
    PairBatch,
    objective_rng,
    span_corruption_batch,
    span_count,
)
from minitransformer.generation import generate
from minitransformer.tasks.vocabulary import learn_vocabulary
from minitransformer.tasks.windows import WindowsTask
from minitransformer.tokenizers import Tokenizer

EDGE = "<edge>"
"""What the decoder reads first, and says last."""


@dataclass(frozen=True)
class SpanTextOptions:
    """Settings of the task ``span-text``."""

    probability: float = 0.15
    """Share of the tokens that are cut out."""
    span_length: float = 3.0
    """Mean length of a span, in tokens."""

    def __post_init__(self) -> None:
        span_count(2, self.probability, self.span_length)


class SpanTextTask(WindowsTask):
    """What was cut out of a text; an encoder-decoder learns it, as T5 did.

    The encoder reads the text with a sentinel, ``<0>``, ``<1>`` and so on, in the place of each
    span; the decoder writes every sentinel and the span that it stands for.
    """

    Options = SpanTextOptions
    architectures: ClassVar[tuple[str, ...]] = ("encoder-decoder",)

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(folder, config)
        special = len(_special_tokens(config, self.options))
        self.edge = self.tokenizer.vocab_size - special  # the sentinels are behind it

    @classmethod
    def vocabulary(cls, text: str, config: TrainConfig) -> Tokenizer:
        special = _special_tokens(config, cls.read_options(config.task_options))
        return learn_vocabulary(text, config, *special)

    def model_config(self) -> Any:
        size = self.tokenizer.vocab_size
        return self.config.model(
            vocab_size=size,
            target_vocab_size=size,
            start_id=self.edge,
            end_id=self.edge,
            target_context=self.batch(0).inputs.shape[1],
        )

    def ask(self, windows: Batch, step: int) -> PairBatch:
        return span_corruption_batch(
            windows.inputs,
            objective_rng(self.config.seed, step),
            self.edge + 1,
            self.edge,
            self.edge,
            self.options.probability,
            self.options.span_length,
        )

    def example(self, model: Any, length: int) -> str:
        """Validation text without some spans, and what the model puts in their places."""
        batch: Any = next(self.validation(1))
        source = batch.sources[0].tolist()
        (target,) = generate(model, [source], max_new_tokens=model.config.target_context)
        return f"{self.tokenizer.decode(source)}\n\n→\n\n{self.tokenizer.decode(target)}"


def _special_tokens(config: TrainConfig, options: SpanTextOptions) -> list[str]:
    """The edge, and as many sentinels as a window has spans."""
    spans = span_count(config.context, options.probability, options.span_length)
    return [EDGE, *(f"<{i}>" for i in range(spans))]
