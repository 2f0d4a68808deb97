"""From a model to text: processors of logits, sampling token by token, beam search."""

from minitransformer.generation.beam import BeamSearchResult, beam_search
from minitransformer.generation.beam_decoding import Beams
from minitransformer.generation.continuation import Continuation
from minitransformer.generation.decoding import generate, stream
from minitransformer.generation.processors import (
    apply_temperature,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    top_k,
    top_p,
)
from minitransformer.generation.reading import LanguageModel, Memory
from minitransformer.generation.sampling import Sampling, greedy, sample
from minitransformer.generation.stopping import until_stop

__all__ = [
    "BeamSearchResult",
    "Beams",
    "Continuation",
    "LanguageModel",
    "Memory",
    "Sampling",
    "apply_temperature",
    "beam_search",
    "generate",
    "greedy",
    "min_p",
    "no_repeat_ngram",
    "repetition_penalty",
    "sample",
    "stream",
    "top_k",
    "top_p",
    "until_stop",
]
