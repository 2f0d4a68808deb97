"""``minitransformer generate``."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minitransformer.cli.flags import parse
from minitransformer.cli.opening import open_model, require_writer
from minitransformer.cli.sampling import SamplingFlags
from minitransformer.cli.speed import Count
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.generation import generate, stream, until_stop
from minitransformer.memory import keep_freed_memory
from minitransformer.runs import load_run, select_backend
from minitransformer.tokenizers import Tokenizer

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
      minitransformer generate --model openai-community/gpt2 --prompt "Once upon a time"
      minitransformer generate --model SmolLM2-135M-Instruct.Q4_1.gguf --prompt "In Paris"
    """

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Run folder that training made."""
    model: str | None = None
    """Instead of a run: a folder or file of a public checkpoint, or an id of the hub."""
    prompt: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Text to continue, by default a new line; may be given several times."""
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
    sampling: tyro.conf.OmitArgPrefixes[SamplingFlags] = field(default_factory=SamplingFlags)
    """How the next token is chosen."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


def main(arguments: list[str]) -> int:
    """Print continuations of prompts."""
    config = parse(GenerateConfig, "generate", arguments)
    if config.samples < 1:
        raise InputError(f"samples is {config.samples}, expected 1 or more")
    if "" in config.stop:
        raise InputError("stop is empty, expected a text before which to end")
    keep_freed_memory()
    select_backend(config.backend, config.device)
    model, tokenizer = _open(config)
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


def _open(config: GenerateConfig) -> tuple[Any, Tokenizer]:
    if (config.run is None) == (config.model is None):
        raise InputError(
            "expected either RUN, a folder that training made, or --model with a public checkpoint"
        )
    if config.run is not None:
        return load_run(config.run)
    model, tokenizer = open_model(str(config.model))
    require_writer(model, str(config.model))
    return model, tokenizer


def _continuations(
    model: Any, prompt: list[int], config: GenerateConfig
) -> Iterable[Iterable[int]]:
    """Token by token, or found by beam search."""
    sampling = config.sampling
    if config.num_beams == 1:
        draw = {"do_sample": not sampling.greedy, **sampling.options()}
        seeds = range(sampling.seed, sampling.seed + config.samples)
        return [stream(model, prompt, seed=seed, **draw) for seed in seeds]
    return generate(
        model,
        prompt,
        num_beams=config.num_beams,
        length_penalty=config.length_penalty,
        early_stopping=EARLY_STOPPING[config.early_stopping],
        num_return_sequences=config.samples,
        seed=sampling.seed,
        **sampling.options(),
    )
