"""``minitransformer transcribe``."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from minitransformer.audio import SAMPLE_RATE, read_wav, resample
from minitransformer.cli.flags import parse
from minitransformer.cli.opening import open_model
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.memory import keep_freed_memory
from minitransformer.models import Whisper
from minitransformer.pretrained import transcribe
from minitransformer.runs import select_backend


@dataclass(frozen=True)
class TranscribeConfig:
    """Write down what is said in a WAV file, printing as it goes.

    Examples
    --------
      minitransformer transcribe talk.wav
      minitransformer transcribe talk.wav --model openai/whisper-base
      minitransformer transcribe rede.wav --model whisper-small/ --language de
    """

    file: Annotated[Path, tyro.conf.Positional]
    """Sound, of any length."""
    model: str = "openai/whisper-tiny.en"
    """A Whisper: a folder with config.json, model.safetensors and tokenizer.json; a folder of
    CTranslate2; or an id of the Hugging Face hub."""
    language: str = "en"
    """Code of the language that is spoken."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


def main(arguments: list[str]) -> int:
    """Print what is said."""
    config = parse(TranscribeConfig, "transcribe", arguments)
    sound = read_wav(config.file)
    keep_freed_memory()
    select_backend(config.backend, config.device)
    model, tokenizer = open_model(config.model)
    if not isinstance(model, Whisper):
        raise InputError(
            f"{config.model} is a {type(model).__name__}, expected a Whisper, such as "
            "openai/whisper-tiny.en"
        )
    warm_up_if_cold()
    start = time.perf_counter()
    samples = resample(sound.samples, sound.rate, SAMPLE_RATE)
    for piece in transcribe(model, tokenizer, samples, language=config.language):
        print(piece, end="", flush=True)
    print()
    seconds, heard = time.perf_counter() - start, len(samples) / SAMPLE_RATE
    print(
        f"{heard:.1f} s of sound in {seconds:.1f} s: {heard / seconds:.1f} s of sound per second",
        file=sys.stderr,
    )
    return 0
