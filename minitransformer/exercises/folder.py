"""A folder of exercises: a file for each, and never a student's work overwritten."""

from dataclasses import dataclass
from pathlib import Path

from minitransformer.errors import InputError
from minitransformer.exercises.catalogue import units
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.notebook import notebook_text
from minitransformer.exercises.stubs import stub

INTRODUCTION = """\
    minitransformer exercises check {file}
    minitransformer exercises hint {id}
    python -m doctest {file}
"""

README = """\
# Transformers, by your own hand

Every file asks for one function. Open one, read the text below its `def`, write the body, and let
it be judged:

    minitransformer exercises check FILE

Name the folder instead of a file to check all that you have begun. Stuck? Open a hint, then
another:

    minitransformer exercises hint {first}

Units can be done in any order: what you have not written yet is done by the library. And when one
of the GPT's own parts is right (embedding, linear, layer norm, GELU, attention with its causal
mask, heads, blocks, cross-entropy, AdamW, clipping, schedule), train it on your code, from within
this folder:

    minitransformer train --backend student

Its samples are written with your KV cache, top-k, top-p and repetition penalty. Other parts have
their turn in other runs: BPE with `--tokenizer bpe`; RMS norm and rotary positions with `--recipe
lm-llama`; the padding mask, the corruption of tokens and the post-norm block with `--recipe mlm`;
sinusoidal positions with `--recipe dates`; dropout with `--dropout 0.1`; LoRA with `--lora-rank 4`.
No run calls softmax (attention has its own), matmul, SGD, beam search, perplexity, averaging,
central differences, the kernels and your tests: these the grader alone sees.

Four rules hold everywhere. Arguments are not changed, unless the text says "in place". What comes
out has the dtype of what went in, float32 or float64. Arrays may have more axes, or fewer, than in
the example. A backward returns a tuple, even of one gradient: `return (dx,)`.

| file | task | points |
|---|---|---:|
{rows}
"""


@dataclass(frozen=True)
class Started:
    """What :func:`start` did."""

    folder: Path
    written: list[Path]
    kept: list[Path]


def start(folder: Path, notebook: bool = False) -> Started:
    """Write a file for each exercise, and a README; what is there already stays as it is.

    Parameters
    ----------
    folder
        Is made if it does not exist.
    notebook
        Write Jupyter notebooks instead of Python files.

    Raises
    ------
    InputError
        If the folder cannot be made or written to.
    """
    started = Started(folder, [], [])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in _files(notebook).items():
            done = started.written if _write_new(folder / name, text) else started.kept
            done.append(folder / name)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error
    return started


def file_names(notebook: bool = False) -> dict[str, Exercise]:
    """Every exercise by the name of its file: its unit's number, its own, its id."""
    suffix = "ipynb" if notebook else "py"
    return {
        f"{unit:02d}_{number}_{exercise.id}.{suffix}": exercise
        for unit, exercises in enumerate(units().values(), 1)
        for number, exercise in enumerate(exercises, 1)
    }


def _files(notebook: bool) -> dict[str, str]:
    names = file_names(notebook)
    rows = "\n".join(f"| {name} | {e.title} | {e.points:g} |" for name, e in names.items())
    first = next(iter(names.values())).id
    return {"README.md": README.format(first=first, rows=rows)} | {
        name: notebook_text(exercise) if notebook else _python(name, exercise)
        for name, exercise in names.items()
    }


def _python(name: str, exercise: Exercise) -> str:
    return stub(exercise, INTRODUCTION.format(file=name, id=exercise.id))


def _write_new(path: Path, text: str) -> bool:
    """Write a file, unless there is one; a link to nowhere counts as one."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
