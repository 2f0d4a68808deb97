"""Chat templates: how a model was taught to see a conversation, told by its checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minitransformer.errors import InputError
from minitransformer.pretrained.config_json import Settings, read_json
from minitransformer.pretrained.places import gguf_file, locate

LONGEST = 100_000  # characters


class ChatTemplate(NamedTuple):
    """A Jinja template, and the special tokens that it may name.

    Attributes
    ----------
    source : str
    special_tokens : mapping
        ``bos_token``, ``eos_token`` and so on.
    """

    source: str
    special_tokens: Mapping[str, str]

    def render(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Write a conversation as the model knows it.

        The template is a program of a stranger and runs in a sandbox: it sees the messages, and
        nothing else of this process.

        Parameters
        ----------
        messages
            ``{"role": "user", "content": "Hello!"}``; roles are system, user and assistant.
        add_generation_prompt
            Whether the text ends where the assistant's answer begins.

        Raises
        ------
        InputError
            If the template is damaged or refuses the messages.

        Notes
        -----
        The sandbox does not limit time and memory.
        """
        try:
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise InputError(
                'chat templates need jinja2: pip install "minitransformer[chat]"'
            ) from None
        sandbox = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        sandbox.globals["raise_exception"] = _refuse
        try:
            text: str = sandbox.from_string(self.source).render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                **self.special_tokens,
            )
            return text
        except Exception as error:  # whatever a program of a stranger may raise
            raise InputError(f"the chat template: {error}") from error


def _refuse(message: str) -> None:
    """What templates call when a conversation is not as they expect."""
    raise InputError(message)


def load_chat_template(where: str | Path) -> ChatTemplate | None:
    """Read the chat template of a checkpoint; None if it has none.

    Parameters
    ----------
    where
        As for :func:`from_pretrained`.

    Raises
    ------
    InputError
        If there is no checkpoint, or the files beside it are damaged.
    """
    path = locate(where)
    gguf = gguf_file(path)
    if gguf is not None:
        from minitransformer.pretrained.gguf_file import read_gguf  # an optional package

        return _of_gguf(Settings(read_gguf(gguf)[0], str(gguf)))
    folder = path if path.is_dir() else path.parent
    file = folder / "tokenizer_config.json"
    settings = Settings(read_json(file) if file.is_file() else {}, str(file))
    own = folder / "chat_template.jinja"
    source = own.read_text(encoding="utf-8") if own.is_file() else settings.get("chat_template")
    tokens = {name: settings.get(name) for name in ("bos_token", "eos_token", "pad_token")}
    return _checked(source, {name: _content(token) for name, token in tokens.items()}, settings)


def _of_gguf(settings: Settings) -> ChatTemplate | None:
    texts = settings.get("tokenizer.ggml.tokens", [])
    ids = {name: settings.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    tokens = {
        f"{name}_token": texts[token]
        for name, token in ids.items()
        if type(token) is int and isinstance(texts, list) and 0 <= token < len(texts)
    }
    return _checked(settings.get("tokenizer.chat_template"), tokens, settings)


def _checked(source: Any, tokens: Mapping[str, Any], settings: Settings) -> ChatTemplate | None:
    if source is None:
        return None
    if not isinstance(source, str) or len(source) > LONGEST:
        raise settings.wrong("chat_template", source, f"a text of at most {LONGEST} characters")
    return ChatTemplate(source, {k: v for k, v in tokens.items() if isinstance(v, str)})


def _content(token: Any) -> Any:
    """The text of a token, which some files describe by a table."""
    return token.get("content") if isinstance(token, dict) else token
