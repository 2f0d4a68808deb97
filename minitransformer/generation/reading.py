"""A model reads what is written: each token once, as long as its context has room."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class LanguageModel(Protocol):
    """What generation asks of a model.

    An encoder-decoder has a method ``given(sources)`` instead, which reads the sources and returns
    such a model of what is written about them, one row for each source.
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

    @property
    def context(self) -> int:
        """Number of tokens that the model looks back at."""
        return int(self._model.config.context)

    def has_slid(self, length: int) -> bool:
        """Whether the last of ``length`` tokens was written without looking at the first ones."""
        return length - 1 > self.context

    def logits(self) -> np.ndarray:
        """Read what was not read yet; returns logits (R, V) of the token that follows each row."""
        if self._kv is None or self._kv.length == self.context:
            ids = self._start_over()
        else:
            ids = np.array([row[-1:] for row in self.rows])
        logits, _ = self._model(ids, kv=self._kv)
        return logits[:, -1]

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """Replace the texts: the i-th will be what ``rows[i]`` is, followed by ``tokens[i]``."""
        if list(rows) != list(range(len(self.rows))):
            self._kv = self._kv.select(rows)
        self.rows = [[*self.rows[row], token] for row, token in zip(rows, tokens, strict=True)]
        self._sources = [self._sources[row] for row in rows]

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
