"""``minitransformer chat``."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

import tyro
from rich.console import Console

from minitransformer.backend import get_backend
from minitransformer.cli.flags import parse
from minitransformer.cli.opening import open_model, require_writer
from minitransformer.cli.sampling import SamplingFlags
from minitransformer.cli.warming import warm_up_if_cold
from minitransformer.errors import InputError
from minitransformer.generation import Sampling
from minitransformer.generation.requests import require_at_least
from minitransformer.memory import keep_freed_memory
from minitransformer.pretrained import Conversation, load_chat_template
from minitransformer.runs import select_backend
from minitransformer.tokenizers.pretrained import PretrainedTokenizer

PROMPT = ">>> "
HELP = """\
/reset   begin another conversation
/seed N  other random numbers: the same seed and the same questions give the same answers
/help    show this
/quit    leave; so does Ctrl-D, while Ctrl-C stops an answer"""


@dataclass(frozen=True)
class ChatConfig:
    """Talk with a model that was taught to answer. Questions may also come from a pipe, one a line.

    Examples
    --------
      minitransformer chat --model SmolLM2-135M-Instruct.Q4_1.gguf
      minitransformer chat --model HuggingFaceTB/SmolLM2-135M-Instruct --greedy
      minitransformer chat --model my-model/ --system "You answer in one sentence."
      minitransformer chat --model my-model/ < questions.txt > answers.txt
    """

    model: str
    """Folder or file of a checkpoint that has a chat template, or an id of the hub."""
    system: str = ""
    """What the model is told before all else; by default what its template says."""
    sampling: tyro.conf.OmitArgPrefixes[SamplingFlags] = field(
        default_factory=lambda: SamplingFlags(temperature=0.2, top_p=0.9)
    )
    """How the next token is chosen."""
    backend: str | None = None
    """Who computes; by default MINITRANSFORMER_BACKEND, or else numba."""
    device: str | None = None
    """Of the cuda backend: gpu (the default), or without one emulated, or simulated."""


class Chat:
    """A conversation at a terminal, or in a pipe.

    Parameters
    ----------
    conversation
        What is said.
    sampling
        How.
    console
        For notes, which are no answers.
    """

    def __init__(
        self, conversation: Conversation, sampling: SamplingFlags, console: Console
    ) -> None:
        self.conversation = conversation
        self.console = console
        self.seed = sampling.seed
        self.options = {"do_sample": not sampling.greedy, **sampling.options()}
        self.turns = 0

    def note(self, text: str) -> None:
        """Tell the user something that is no answer."""
        self.console.print(text, style="dim", markup=False)

    def command(self, line: str) -> bool:
        """Obey; returns whether to go on."""
        match line.split():
            case ["/quit"]:
                return False
            case ["/reset"]:
                self.conversation.reset()
                self.turns = 0
                self.note("a new conversation")
            case ["/seed", number] if number.isdecimal():
                self.seed = int(number)
                self.note(f"the seed is {self.seed}")
            case ["/help"]:
                self.note(HELP)
            case _:
                self.note(f"there is no command {line!r}\n{HELP}")
        return True

    def ask(self, line: str) -> None:
        """Print the answer as it is written; Ctrl-C stops it, and nothing else."""
        start = time.perf_counter()
        pieces = self.conversation.answer(line, seed=self.seed + self.turns, **self.options)
        try:
            with closing(pieces):
                for piece in pieces:
                    print(piece, end="", flush=True)
            print()
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            print(" ...")
        except ValueError as error:  # the message is too long, or a weight is damaged
            self.note(f"error: {error}")
            return
        self.turns += 1
        self._tell(time.perf_counter() - start)

    def _tell(self, seconds: float) -> None:
        done = self.conversation
        if done.forgotten:
            self.note(f"the context is full: the oldest {done.forgotten} messages are forgotten")
        if done.is_cut_off:
            self.note("the answer was cut off: see --max-new-tokens")
        self.note(
            f"{done.read:,} tokens read, {done.written:,} written in {seconds:.1f} s: "
            f"{done.written / seconds:,.0f} tokens/s"
        )


def main(arguments: list[str]) -> int:
    """Ask for questions, and print answers."""
    config = parse(ChatConfig, "chat", arguments)
    _check(config.sampling)
    keep_freed_memory()
    select_backend(config.backend, config.device)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with console.status(f"loading {config.model}"):
        conversation = _open(config)
    chat = Chat(conversation, config.sampling, console)
    warm_up_if_cold()
    model = chat.conversation.model
    chat.note(
        f"{config.model}: {model.parameter_count():,} parameters, a context of "
        f"{model.config.context:,} tokens, computed by {get_backend()}; /help"
    )
    for line in _lines(chat):
        if line.startswith("/"):
            if not chat.command(line):
                break
        elif line.strip():
            chat.ask(line)
    return 0


def _check(sampling: SamplingFlags) -> None:
    """Refuse what is out of range before the model is loaded."""
    options = sampling.options()
    try:
        require_at_least(1, max_new_tokens=options.pop("max_new_tokens"))
        require_at_least(0, seed=sampling.seed)
        Sampling(**options)
    except ValueError as error:
        raise InputError(str(error)) from error


def _open(config: ChatConfig) -> Conversation:
    template = load_chat_template(config.model)
    if template is None:
        raise InputError(
            f"{config.model} has no chat template: it was taught to continue texts, not to answer; "
            "use minitransformer generate"
        )
    model, tokenizer = open_model(config.model)
    require_writer(model, config.model)
    assert isinstance(tokenizer, PretrainedTokenizer), "only checkpoints have templates"
    return Conversation(model, tokenizer, template, config.system)


def _lines(chat: Chat) -> Iterator[str]:
    """What the user says, line by line."""
    if not sys.stdin.isatty():
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    with suppress(ImportError):  # not on Windows, whose terminal does the same
        import readline  # noqa: F401  # lines can be edited, and called up again
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            chat.note("/quit leaves")
