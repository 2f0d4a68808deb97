"""Language modelling: learn which token comes next in a text."""

from functools import cached_property
from typing import Any, ClassVar

from minitransformer.data import Batch
from minitransformer.generation import stream
from minitransformer.tasks.base import DECODERS
from minitransformer.tasks.windows import WindowsTask


class TextTask(WindowsTask):
    """The next token of a text; any language model can learn it."""

    architectures: ClassVar[tuple[str, ...]] = DECODERS

    def ask(self, windows: Batch, step: int) -> Batch:
        return windows

    def outcomes(self, model: Any, limit: int | None = None) -> Any:
        """The loss of every window, beside its number of tokens and of bytes."""
        from minitransformer.evaluation import losses

        return losses(model, self.validation(limit), self.tokenizer)

    def example(self, model: Any, length: int) -> str:
        """Text that the model makes of the first tokens of the validation text."""
        prompt = self.validation_tokens[: self.config.context // 4].tolist()
        ids = stream(model, prompt, max_new_tokens=length, do_sample=True, temperature=0.8)
        return self.tokenizer.decode([*prompt, *ids])

    @cached_property
    def validation_characters(self) -> int:
        """Length of the validation text, in characters."""
        return len(self.tokenizer.decode(self.validation_tokens.tolist()))
