"""``minitransformer generate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minitransformer.cli.flags import parse
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.generation import stream
from minitransformer.memory import keep_freed_memory
from minitransformer.runs import load_run, select_backend


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a prompt with a trained model, printing as it goes.

    Examples
    --------
      minitransformer generate runs/001 --prompt "The "
      minitransformer generate runs/001 --prompt "class " --temperature 0.7 --top-k 20 --samples 3
      minitransformer generate runs/001 --prompt "If " --greedy
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder that training made."""
    prompt: str = "\n"
    """Text to continue."""
    max_new_tokens: int = 500
    """Tokens to generate."""
    temperature: float = 1.0
    """Below 1 more sure of itself, above 1 more daring."""
    top_k: int = 0
    """Choose among the k most likely tokens only; 0 is off."""
    top_p: float = 1.0
    """Choose among the most likely tokens that together have probability p."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that were seen less likely."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Always take the most likely token."""
    samples: int = 1
    """Number of continuations; each has its own random numbers."""
    seed: int = 0
    """The same seed gives the same text."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""


def main(arguments: list[str]) -> int:
    """Print continuations of a prompt."""
    config = parse(GenerateConfig, "generate", arguments)
    keep_freed_memory()
    select_backend(config.backend)
    model, tokenizer = load_run(config.run)
    prompt = tokenizer.encode(config.prompt)
    if config.samples < 1:
        raise InputError(f"samples is {config.samples}, expected 1 or more")
    warm_up_if_cold()
    try:
        continuations = [
            stream(
                model,
                prompt,
                max_new_tokens=config.max_new_tokens,
                do_sample=not config.greedy,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                repetition_penalty=config.repetition_penalty,
                seed=config.seed + i,
            )
            for i in range(config.samples)
        ]
        for i, ids in enumerate(continuations, start=1):
            if config.samples > 1:
                print(f"--- {i} of {config.samples}")
            print(config.prompt, end="", flush=True)
            for piece in tokenizer.decode_stream(ids):
                print(piece, end="", flush=True)
            print()
    except ValueError as error:
        raise InputError(str(error)) from error
    return 0
