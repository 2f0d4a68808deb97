"""A model reads what is written: each token once, as long as its context has room."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minitransformer import placement
from minitransformer.nn.layers import last_position


class LanguageModel(Protocol):
    """What generation asks of a model.

    If it has a method ``next_logits(ids, kv)`` that returns the logits (B, V) of the last position
    alone, generation calls this one. An encoder-decoder has a method ``given(sources)`` instead,
    which reads the sources and returns such a model of what is written about them, one row for each
    source.
    """

    @property
    def config(self) -> Any:
        """With at least ``vocab_size`` and ``context``."""

    def new_kv(self, batch: int) -> Any:
        """Empty memory for keys and values of ``batch`` rows, such as a ``nn.KeyValues``.

        Where rows differ in length, it is called with ``padding`` (batch,) as well.
        """

    def __call__(self, ids: np.ndarray, *, kv: Any = None) -> tuple[np.ndarray, Any]:
        """Logits (B, T, V) for ids (B, T), which follow those that ``kv`` holds; and a cache."""


class Reader:
    """Texts in the course of being written, and the model that reads them.

    Parameters
    ----------
    model
        A language model, or an encoder-decoder.
    prompts
        What the texts begin with, or are written about.

    Attributes
    ----------
    rows : list of lists of ids
        All tokens of each text, those included that the context has no room for any more.

    Notes
    -----
    Shorter texts are padded on the left, so that all end at the same place. When the memory is
    full, a new one is filled with as many of the newest tokens as the context holds. From then on
    this happens for every token: the window slides, and what a token's place in the window says,
    and what it saw of tokens that have left, is not the same as before.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self._has_sources = hasattr(model, "given")
        self._model: LanguageModel = model.given(prompts) if self._has_sources else model
        start = [self._model.config.start_id] if self._has_sources else []
        self.rows = [start or list(prompt) for prompt in prompts]
        self._sources = list(range(len(prompts)))  # what each row is about
        self._source_count = len(prompts)
        self._kv: Any = None
        self._unread = 0  # of the last tokens of each row, once there is a memory

    @property
    def context(self) -> int:
        """Number of tokens that the model looks back at."""
        return int(self._model.config.context)

    def has_slid(self, length: int) -> bool:
        """Whether the last of ``length`` tokens was written without looking at the first ones."""
        return length - 1 > self.context

    def logits(self) -> np.ndarray:
        """Read what was not read yet; returns logits (R, V) of the token that follows each row.

        They are where the model is.
        """
        if self._kv is None or self._kv.length + self._unread > self.context:
            ids = self._start_over()
        else:
            ids = np.array([row[-self._unread :] for row in self.rows])
        logits: np.ndarray = _next_logits(self._model, ids, self._kv)
        self._unread = 0
        return logits

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """Replace the texts: the i-th will be what ``rows[i]`` is, followed by ``tokens[i]``."""
        if list(rows) != list(range(len(self.rows))):
            self._kv = self._kv.select(rows)
        self.rows = [[*self.rows[row], token] for row, token in zip(rows, tokens, strict=True)]
        self._sources = [self._sources[row] for row in rows]
        self._unread += 1

    def _start_over(self) -> np.ndarray:
        """Make a new memory; returns the ids (R, T) to fill it with, padded on the left."""
        windows = [row[-self.context :] for row in self.rows]
        longest = max(len(window) for window in windows)
        padding = np.array([longest - len(window) for window in windows])
        self._kv = self._new_kv(padding)
        return np.array([[0] * (longest - len(window)) + window for window in windows])

    def _new_kv(self, padding: np.ndarray) -> Any:
        if self._has_sources:  # all of their texts are of one length
            return self._model.new_kv(self._source_count).select(self._sources)
        if padding.any():
            return self._model.new_kv(len(self.rows), padding=padding)  # type: ignore[call-arg]
        return self._model.new_kv(len(self.rows))


class Memory(Reader):
    """Reads one prompt after another: of each only what it does not begin with as the last did.

    Each turn of a conversation repeats all that was said before; a memory reads its new words.

    Parameters
    ----------
    model
        A language model.

    Examples
    --------
    ``stream(model, prompt, memory=memory)`` for one prompt, then for the next.
    """

    def __init__(self, model: LanguageModel | Any) -> None:
        super().__init__(model, [[]])
        self._held: list[int] = []  # the tokens that it surely holds, even after an interruption

    @property
    def unread(self) -> int:
        """Number of tokens of the prompt that are to be read yet."""
        return self._unread

    def turn_to(self, prompt: list[int]) -> "Memory":
        """Take up another prompt, in the place of the text so far."""
        same = _common_start(self._held, prompt[:-1])
        if self._kv is not None:
            self._kv.cut(same)
        self._held = self._held[:same]
        self._unread = len(prompt) - same
        self.rows = [prompt]
        return self

    def logits(self) -> np.ndarray:
        logits = super().logits()
        self._held = self.rows[0][-self._kv.length :]
        return logits

    def _start_over(self) -> np.ndarray:
        self._held = []
        return super()._start_over()


def _common_start(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of tokens with which both begin."""
    unequal = (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(unequal, min(len(first), len(second)))


def _next_logits(model: Any, ids: np.ndarray, kv: Any) -> Any:
    if hasattr(model, "next_logits"):
        return model.next_logits(ids, kv)
    logits, _ = model(ids, kv=kv)
    return logits[:, -1] if placement.is_on_host(logits) else last_position(logits)
