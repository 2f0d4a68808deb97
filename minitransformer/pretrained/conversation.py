"""A conversation: what was said, as the model knows it, and what of it the model has read."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from minitransformer.errors import InputError
from minitransformer.generation import Memory, stream
from minitransformer.pretrained.chat import ChatTemplate
from minitransformer.tokenizers.pretrained import PretrainedTokenizer

Messages = Sequence[Mapping[str, str]]
Pieces = Generator[str, None, None]


class Conversation:
    """Asks a model, turn by turn; each turn reads its new words alone.

    Parameters
    ----------
    model, tokenizer, template
        Of one checkpoint that was taught to answer.
    system
        What the model is told before all else; by default what its template says, if anything.

    Attributes
    ----------
    messages : list of dict
        What was said and is remembered: ``{"role": "user", "content": "Hello!"}``.
    forgotten : int
        How many of the oldest messages were dropped for the last answer: the context was full.
    read, written : int
        Tokens that the last answer read and wrote.
    is_cut_off : bool
        Whether the last answer ended for want of room.

    Examples
    --------
    ``"".join(conversation.answer("What is the capital of France?"))``
    """

    def __init__(
        self, model: Any, tokenizer: PretrainedTokenizer, template: ChatTemplate, system: str = ""
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self._start: Messages = [{"role": "system", "content": system}] if system else []
        self._memory = Memory(model)
        self.reset()

    def reset(self) -> None:
        """Begin another conversation with the same model."""
        self.messages = list(self._start)
        self._text, self._ids = "", list[int]()  # the last prompt and its answer
        self.forgotten = self.read = self.written = 0
        self.is_cut_off = False

    def answer(self, words: str, max_new_tokens: int = 500, **options: Any) -> Pieces:
        """Say something, and get the answer in pieces, as it is written.

        Who stops asking for pieces interrupts the model; what it has said so far is remembered.

        Parameters
        ----------
        words
            Of the user.
        max_new_tokens, options
            As for :func:`minitransformer.generation.stream`.

        Raises
        ------
        InputError
            If the words alone are too long for the context; nothing was said then.
        """
        messages, text, ids = self._fitting(words, max_new_tokens)
        self.forgotten = len(self.messages) + 1 - len(messages)
        limit = min(max_new_tokens, self.model.config.context - len(ids))
        tokens, pieces = list[int](), list[str]()
        new = stream(self.model, ids, max_new_tokens=limit, memory=self._memory, **options)
        new = _noted(new, tokens)
        self.read = self._memory.unread
        try:
            for piece in self.tokenizer.decode_stream(new, skip_special_tokens=True):
                pieces.append(piece)
                yield piece
        finally:
            said = "".join(pieces)
            self.messages = [*messages, {"role": "assistant", "content": said}]
            self.written, self.is_cut_off = len(tokens), len(tokens) == limit
            is_exact = said == self.tokenizer.decode(tokens)
            self._text, self._ids = (text + said, ids + tokens) if is_exact else ("", [])

    def _fitting(self, words: str, max_new_tokens: int) -> tuple[list[Any], str, list[int]]:
        """What is said after these words, such that there is room for an answer, and its prompt.

        Once the context is full, half of it is made free: each time all that stays is read again.
        """
        context = self.model.config.context
        limit = context - min(max_new_tokens, context // 4)
        messages = [*self.messages, {"role": "user", "content": words}]
        text, ids = self._prompt(messages)
        oldest = len(self._start)
        while len(ids) > limit and len(messages) > oldest + 1:
            limit = context // 2
            del messages[oldest : oldest + 2]  # a question and its answer
            text, ids = self._prompt(messages)
        if len(ids) >= context:
            raise InputError(
                f"the message makes {len(ids):,} tokens, but the model's context is {context:,}; "
                "say it in fewer words, or in parts"
            )
        return messages, text, ids

    def _prompt(self, messages: Messages) -> tuple[str, list[int]]:
        """Text and ids; those that the model has read and written stay as they are."""
        text = self.template.render(messages)
        known, ids = (self._text, self._ids) if text.startswith(self._text) else ("", [])
        new = self.tokenizer.encode(text.removeprefix(known), add_special_tokens=False)
        return text, ids + new


def _noted(ids: Iterable[int], tokens: list[int]) -> Iterator[int]:
    """Pass ids on, and write them down."""
    for token in ids:
        tokens.append(token)
        yield token
