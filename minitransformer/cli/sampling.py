"""Flags for how tokens are chosen, common to the commands that write."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class SamplingFlags:
    """How the next token is chosen, and how many."""

    max_new_tokens: int = 500
    """Tokens to generate."""
    temperature: float = 1.0
    """Below 1 more sure of itself, above 1 more daring."""
    top_k: int = 0
    """Choose among the k most likely tokens only; 0 is off."""
    top_p: float = 1.0
    """Choose among the most likely tokens that together have probability p."""
    min_p: float = 0.0
    """Choose among tokens at least p times as likely as the best; 0 is off."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that were seen less likely."""
    no_repeat_ngram_size: int = 0
    """Let no run of so many tokens occur twice; 0 is off."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Always take the most likely token."""
    seed: int = 0
    """The same seed gives the same text."""

    def options(self) -> dict[str, Any]:
        """Arguments of ``generate`` and ``stream``, all but the seed and whether to sample."""
        return {
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
        }
