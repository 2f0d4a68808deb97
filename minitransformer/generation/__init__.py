"""From a model to text: processors of logits, sampling token by token, beam search."""

from minitransformer.generation.beam import BeamSearchResult, beam_search
from minitransformer.generation.decoding import LanguageModel, generate, stream
from minitransformer.generation.processors import (
    apply_temperature,
    repetition_penalty,
    top_k,
    top_p,
)
from minitransformer.generation.sampling import Sampling, greedy, sample

__all__ = [
    "BeamSearchResult",
    "LanguageModel",
    "Sampling",
    "apply_temperature",
    "beam_search",
    "generate",
    "greedy",
    "repetition_penalty",
    "sample",
    "stream",
    "top_k",
    "top_p",
]
