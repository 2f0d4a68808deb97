"""The command line. Each command is a module of its own, imported when it is used."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from minitransformer.errors import InputError, NonFiniteError
from minitransformer.launch import share_cores

COMMANDS = {
    "train": "train a GPT on your text, or on English that Python ships",
    "rates": "find a learning rate before training",
    "generate": "continue a prompt with a trained model",
    "chat": "talk with a model that was taught to answer",
    "embed": "turn lines of text into vectors that say what they mean",
    "transcribe": "write down what is said in a sound file",
    "eval": "measure a trained model, with confidence intervals",
    "compare": "put trained models side by side: one table, one picture",
    "gradcheck": "prove every gradient by finite differences",
    "doctor": "look at this machine and say how to mend what is missing",
    "exercises": "write the functions yourself, and learn what is wrong with them",
    "backends": "which backend has a kernel for which op",
    "cuda": "what a GPU would make of the kernels, without one",
}

USAGE = """\
usage: minitransformer COMMAND [OPTION ...]

commands:
{commands}

examples:
  minitransformer train
  minitransformer train --data my-texts/ --layers 6 --width 192 --steps 3000
  minitransformer generate runs/001 --prompt "The "
  minitransformer chat --model SmolLM2-135M-Instruct.Q4_1.gguf
  minitransformer COMMAND --help
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of this process.

    Returns
    -------
    int
        Exit status: 0 well, 1 a check failed or training broke down, 2 bad input,
        130 stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character
    share_cores()
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return status
    except NonFiniteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(_usage(), end="")
        return 0
    if name == "--version":
        from minitransformer import __version__

        print(f"minitransformer {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"error: there is no command {name!r}{hint}\n\n{_usage()}", end="", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(f"minitransformer.cli.{name}").main(arguments[1:]))
    except SystemExit as end:  # --help was asked for, or a flag is wrong
        return int(end.code or 0)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return USAGE.format(commands=commands)
