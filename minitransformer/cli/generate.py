"""``minitransformer generate``."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minitransformer.cli.flags import parse
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.generation import generate, stream, until_stop
from minitransformer.memory import keep_freed_memory
from minitransformer.runs import load_run, select_backend

NEW_LINE = "\n"
EARLY_STOPPING: dict[str, bool | Literal["never"]] = {"yes": True, "no": False, "never": "never"}


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a prompt with a trained model, printing as it goes.

    Examples
    --------
      minitransformer generate runs/001 --prompt "The "
      minitransformer generate runs/001 --prompt "class " --temperature 0.7 --top-k 20 --samples 3
      minitransformer generate runs/001 --prompt "If " --greedy --stop "."
      minitransformer generate runs/001 --prompt "If " --prompt "When " --num-beams 4
      minitransformer generate runs/001 --prompt="--help"
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder that training made."""
    prompt: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Text to continue, by default a new line; may be given several times."""
    max_new_tokens: int = 500
    """Tokens to generate."""
    temperature: float = 1.0
    """Below 1 more sure of itself, above 1 more daring."""
    top_k: int = 0
    """Choose among the k most likely tokens only; 0 is off."""
    top_p: float = 1.0
    """Choose among the most likely tokens that together have probability p."""
    min_p: float = 0.0
    """Choose among tokens at least p times as likely as the best; 0 is off."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that were seen less likely."""
    no_repeat_ngram_size: int = 0
    """Let no run of so many tokens occur twice; 0 is off."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Always take the most likely token."""
    num_beams: int = 1
    """Above 1 searches for the most likely text, with so many beginnings in view."""
    length_penalty: float = 1.0
    """With beams: above 0 prefers long texts, below 0 short ones."""
    early_stopping: Literal["yes", "no", "never"] = "no"
    """With beams: stop when so many have ended; when better ones are unlikely; or impossible."""
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """End before this text; may be given several times."""
    samples: int = 1
    """Continuations of each prompt; each has its own random numbers."""
    seed: int = 0
    """The same seed gives the same text."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""


class Count:
    """Counts tokens, and the seconds that they take."""

    def __init__(self) -> None:
        self.tokens = 0
        self.start = time.perf_counter()

    def counted(self, ids: Iterable[int]) -> Iterator[int]:
        for token in ids:
            self.tokens += 1
            yield token

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.start
        return f"{self.tokens:,} tokens in {seconds:.1f} s: {self.tokens / seconds:,.0f} tokens/s"


def main(arguments: list[str]) -> int:
    """Print continuations of prompts."""
    config = parse(GenerateConfig, "generate", arguments)
    if config.samples < 1:
        raise InputError(f"samples is {config.samples}, expected 1 or more")
    if "" in config.stop:
        raise InputError("stop is empty, expected a text before which to end")
    keep_freed_memory()
    select_backend(config.backend)
    model, tokenizer = load_run(config.run)
    prompts = config.prompt or (NEW_LINE,)
    encoded = [tokenizer.encode(prompt) for prompt in prompts]
    warm_up_if_cold()
    count = Count()
    try:
        texts = [
            (prompt, ids)
            for prompt, prompt_ids in zip(prompts, encoded, strict=True)
            for ids in _continuations(model, prompt_ids, config)
        ]
        for i, (prompt, ids) in enumerate(texts, start=1):
            if len(texts) > 1:
                print(f"--- {i} of {len(texts)}")
            print(prompt, end="", flush=True)
            pieces = tokenizer.decode_stream(count.counted(ids))
            for piece in until_stop(pieces, config.stop):
                print(piece, end="", flush=True)
            print()
    except ValueError as error:
        raise InputError(str(error)) from error
    print(count, file=sys.stderr)
    return 0


def _continuations(
    model: Any, prompt: list[int], config: GenerateConfig
) -> Iterable[Iterable[int]]:
    """Token by token, or found by beam search."""
    options: dict[str, Any] = {
        "max_new_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "min_p": config.min_p,
        "repetition_penalty": config.repetition_penalty,
        "no_repeat_ngram_size": config.no_repeat_ngram_size,
    }
    if config.num_beams == 1:
        draw = {"do_sample": not config.greedy, **options}
        seeds = range(config.seed, config.seed + config.samples)
        return [stream(model, prompt, seed=seed, **draw) for seed in seeds]
    return generate(
        model,
        prompt,
        num_beams=config.num_beams,
        length_penalty=config.length_penalty,
        early_stopping=EARLY_STOPPING[config.early_stopping],
        num_return_sequences=config.samples,
        seed=config.seed,
        **options,
    )
