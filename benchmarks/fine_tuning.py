"""What fine-tuning a public checkpoint brings: ``python -m benchmarks.fine_tuning --help``.

A BERT learns to classify with a head of its own; a Llama learns to write with thin matrices beside
its frozen weights (LoRA). Both are measured on texts that they did not see; all are generated.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from benchmarks.contest import console
from minitransformer import schedules
from minitransformer.data import IGNORE, AnyBatch, Batch, EncoderBatch, split_batch
from minitransformer.data.pairs import pad
from minitransformer.evaluation import mean_loss
from minitransformer.memory import keep_freed_memory
from minitransformer.models import Classifier, ClassifierConfig
from minitransformer.models.adapters import load_adapter, save_adapter
from minitransformer.nn import add_lora
from minitransformer.optim import AdamW
from minitransformer.pretrained import from_pretrained
from minitransformer.runs import select_backend
from minitransformer.tokenizers import Tokenizer
from minitransformer.training import train

TOPICS = (  # the last four words of each are held out: only who knew them before can tell
    "soup bread cheese rice noodles apples butter pasta salad pancakes",
    "dogs cats horses rabbits tigers sparrows cows elephants wolves sheep",
    "pianos violins drums trumpets flutes guitars cellos harps clarinets organs",
    "trains buses bicycles trucks ships tractors cars planes boats trams",
)
SENTENCES = (
    "Yesterday we talked about {} for an hour.",
    "My sister knows a lot about {}.",
    "There was an article about {} in the newspaper.",
    "He has always been fond of {}.",
    "I had never thought of {} in this way.",
)
HELD_OUT = 4

ANIMALS = ["fox", "owl", "bear", "goose", "hedgehog", "otter", "frog", "mole"]
PLACES = ["Bergen", "Porto", "Graz", "Turin", "Ghent", "Lund", "Cork", "Basel"]
GOODS = [
    "pickled plums",
    "silver thimbles",
    "woollen socks",
    "wooden spoons",
    "lemon cake",
    "paper lanterns",
]
DAYS = ["Monday", "Tuesday", "Thursday", "Friday", "Sunday"]


@dataclass(frozen=True)
class Settings:
    """Fine-tune a public checkpoint on generated texts, and measure it on others."""

    what: Annotated[Literal["classifier", "lora"], tyro.conf.Positional]
    """A head for four topics on a BERT, or thin matrices in a Llama that learn 200 short texts."""
    model: str
    """Folder or file of the checkpoint, or its id of the hub."""
    steps: int = 25
    """Steps of AdamW."""
    seed: int = 0
    """Of all that is random."""
    out: Path | None = None
    """File for the adapter that LoRA learns."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""


class Outcome(NamedTuple):
    """Loss on held-out texts in nats, before and after, and seconds of training."""

    before: float
    after: float
    seconds: float


def topic_batches(tokenizer: Tokenizer, seed: int = 0) -> tuple[EncoderBatch, EncoderBatch]:
    """Sentences about things, and what kind of things they are: to learn from, and held out."""
    rng = np.random.default_rng(seed)
    learnt, held_out = list[tuple[str, int]](), list[tuple[str, int]]()
    for topic, words in enumerate(map(str.split, TOPICS)):
        for sentence, (i, word) in itertools.product(SENTENCES, enumerate(words)):
            part = learnt if i < len(words) - HELD_OUT else held_out
            part.append((sentence.format(word), topic))
    return tuple(  # type: ignore[return-value]
        _labelled(tokenizer, [part[i] for i in rng.permutation(len(part))])
        for part in (learnt, held_out)
    )


def _labelled(tokenizer: Tokenizer, texts: Sequence[tuple[str, int]]) -> EncoderBatch:
    ids = [tokenizer.encode(text) for text, _ in texts]
    lengths = np.array([len(each) for each in ids])
    return EncoderBatch(pad("text", ids), lengths, np.array([topic for _, topic in texts]))


def classifier_on(trunk: Any, seed: int = 0) -> Classifier:
    """A new head on a trained trunk."""
    model = Classifier(ClassifierConfig(trunk.config, outputs=len(TOPICS)), seed=seed)
    model.trunk = trunk
    return model


def short_texts(seed: int = 0) -> tuple[list[str], list[str]]:
    """200 texts in a style of their own to learn from, and 40 others."""
    rng = np.random.default_rng(seed)
    texts = [
        f"Every {day}, the {animal} of {place} sells {goods} to whoever walks by."
        for day, animal, place, goods in itertools.product(DAYS, ANIMALS, PLACES, GOODS)
    ]
    drawn = [texts[i] for i in rng.permutation(len(texts))[:240]]
    return drawn[:200], drawn[200:]


def text_batch(tokenizer: Tokenizer, texts: Sequence[str], end: int) -> Batch:
    """Every token of each text is to be predicted from those before it, the end too."""
    ids = [[*tokenizer.encode(text), end] for text in texts]
    return Batch(
        pad("text", [each[:-1] for each in ids]), pad("text", [each[1:] for each in ids], IGNORE)
    )


def fine_tune(
    model: Any, learn: AnyBatch, held_out: AnyBatch, *, size: int, steps: int, peak: float
) -> Outcome:
    """Train on parts of ``size`` texts, the learning rate falling from its peak to 0."""
    parts = split_batch(learn, len(learn.inputs) // size)
    check = split_batch(held_out, max(1, len(held_out.inputs) // size))
    before = mean_loss(model, check)
    began = time.perf_counter()
    schedule = lambda step: schedules.warmup_cosine(step, peak, 3, steps)  # noqa: E731
    optimizer = AdamW(model.parameters(), peak)
    for _ in train(model, optimizer, lambda i: parts[i % len(parts)], schedule, steps, clip=1.0):
        pass
    return Outcome(before, mean_loss(model, check), time.perf_counter() - began)


def accuracy(model: Classifier, batch: EncoderBatch) -> float:
    """Share of texts whose topic has the highest score."""
    scores, _ = model(batch)
    return float((scores.argmax(axis=1) == batch.targets).mean())


def tune_classifier(trunk: Any, tokenizer: Tokenizer, steps: int, seed: int = 0) -> Any:
    """Fine-tune trunk and head; returns the model, the held-out batch and the outcome."""
    learn, held_out = topic_batches(tokenizer, seed)
    model = classifier_on(trunk, seed)
    return model, held_out, fine_tune(model, learn, held_out, size=12, steps=steps, peak=2e-4)


def tune_lora(model: Any, tokenizer: Tokenizer, steps: int, seed: int = 0) -> Any:
    """Let thin matrices learn 200 texts; returns the held-out batch and the outcome."""
    ends = model.config.eos_id
    end = ends if isinstance(ends, int) else ends[0]
    learn, held_out = (text_batch(tokenizer, texts, end) for texts in short_texts(seed))
    add_lora(model, "*.query_key_value", "*.projection", rank=8, seed=seed)
    return held_out, fine_tune(model, learn, held_out, size=8, steps=steps, peak=2e-3)


def main() -> None:
    """Fine-tune, and print the loss before and after."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.fine_tuning")
    keep_freed_memory()
    select_backend(settings.backend)
    model, tokenizer = from_pretrained(settings.model)
    assert tokenizer is not None, "a model without its tokenizer reads nothing"
    if settings.what == "classifier":
        model, held_out, outcome = tune_classifier(model, tokenizer, settings.steps, settings.seed)
        console.print(f"accuracy on held-out texts: {accuracy(model, held_out):.2f}")
    else:
        held_out, outcome = tune_lora(model, tokenizer, settings.steps, settings.seed)
        if settings.out is not None:
            save_adapter(settings.out, model)
            again, _ = from_pretrained(settings.model)
            load_adapter(settings.out, again)
            console.print(f"{settings.out}: {settings.out.stat().st_size:,} bytes")
    console.print(
        f"held-out loss: {outcome.before:.3f} -> {outcome.after:.3f} nats, {settings.steps} steps "
        f"in {outcome.seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
