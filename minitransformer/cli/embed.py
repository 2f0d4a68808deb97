"""``minitransformer embed``."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress

from minitransformer.cli.flags import parse
from minitransformer.cli.opening import open_model
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.files import atomic_write
from minitransformer.memory import keep_freed_memory
from minitransformer.models import Bert, BertForMaskedLM
from minitransformer.pretrained.sentences import embed_in_batches
from minitransformer.runs import select_backend

SUFFIXES = (".npy", ".jsonl")


@dataclass(frozen=True)
class EmbedConfig:
    """Turn each line of a text file into a vector; vectors of like meanings have a large product.

    Examples
    --------
      minitransformer embed --model all-MiniLM-L6-v2/ sentences.txt
      minitransformer embed --model sentence-transformers/all-MiniLM-L6-v2 lines.txt --output a.npy
      minitransformer embed --model all-MiniLM-L6-v2/ - --output vectors.jsonl
    """

    file: Annotated[str, tyro.conf.Positional]
    """Text in UTF-8, one line for each vector; - is the standard input."""
    model: str
    """Folder of a BERT that was trained for it, or an id of the hub."""
    output: Path | None = None
    """File to write: .npy for an array (lines, features), .jsonl for a JSON object a line; by
    default JSON is printed."""
    batch_size: int = 32
    """Lines that go through the model at once."""
    truncate: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Cut off lines that are longer than the model's context."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


def main(arguments: list[str]) -> int:
    """Write or print a vector for each line."""
    config = parse(EmbedConfig, "embed", arguments)
    if config.batch_size < 1:
        raise InputError(f"batch_size is {config.batch_size}, expected 1 or more")
    if config.output is not None and config.output.suffix not in SUFFIXES:
        raise InputError(f"output is {config.output}, expected a name that ends in .npy or .jsonl")
    lines = _read(config.file)
    keep_freed_memory()
    select_backend(config.backend, config.device)
    model, tokenizer = open_model(config.model)
    if isinstance(model, BertForMaskedLM):
        model = model.trunk
    if not isinstance(model, Bert):
        raise InputError(
            f"{config.model} is a {type(model).__name__}, expected a BERT that was trained for "
            "sentence embeddings, such as sentence-transformers/all-MiniLM-L6-v2"
        )
    warm_up_if_cold()
    vectors = np.empty((len(lines), model.config.width), np.float32)
    batches = embed_in_batches(model, tokenizer, lines, config.batch_size, config.truncate)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("lines", total=len(lines))
        for rows, part in batches:
            vectors[rows] = part
            bar.update(task, advance=len(rows))
    _write(config.output, lines, vectors)
    return 0


def _read(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error}; save it in this encoding") from error
    if not text:
        raise InputError(f"{file} is empty, expected a line of text for each vector")
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _write(output: Path | None, lines: Sequence[str], vectors: np.ndarray) -> None:
    if output is None:
        print(_json_lines(lines, vectors), end="")
        return
    with atomic_write(output) as file:
        if output.suffix == ".npy":
            np.save(file, vectors)
        else:
            file.write(_json_lines(lines, vectors).encode())
    print(f"{len(lines):,} vectors of {vectors.shape[1]} numbers: {output}", file=sys.stderr)


def _json_lines(lines: Sequence[str], vectors: np.ndarray) -> str:
    text = io.StringIO()
    for line, vector in zip(lines, vectors, strict=True):
        entry: dict[str, Any] = {"text": line, "vector": [float(f"{x:.7g}") for x in vector]}
        text.write(json.dumps(entry) + "\n")
    return text.getvalue()
