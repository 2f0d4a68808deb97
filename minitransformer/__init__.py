"""Transformers from scratch: every gradient derived by hand and proved.

Start at :mod:`minitransformer.training` and descend: models, nn, ops. Nothing is imported before
it is used, so that ``import minitransformer`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_EXPORTS: dict[str, tuple[str, ...]] = {
    "backend": ("set_backend", "use_backend"),
    "checkpoints": (),
    "data": (),
    "generation": (
        "beam_search",
        "generate",
        "repetition_penalty",
        "stream",
        "top_k",
        "top_p",
    ),
    "models": ("GPT", "GPTConfig"),
    "nn": ("sinusoidal_positions",),
    "ops": ("adamw_step", "kv_append"),
    "optim": ("SGD", "Adam", "AdamW", "clip_grad_norm"),
    "schedules": ("constant", "warmup_cosine", "warmup_inverse_sqrt"),
    "show": (),
    "testing": ("gradcheck",),
    "tokenizers": ("BPETokenizer", "CharTokenizer", "bpe_merge", "load_tokenizer"),
    "training": (),
}
_OWNERS = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted([*_EXPORTS, *_OWNERS])

if TYPE_CHECKING:
    from minitransformer import backend as backend
    from minitransformer import checkpoints as checkpoints
    from minitransformer import data as data
    from minitransformer import generation as generation
    from minitransformer import models as models
    from minitransformer import nn as nn
    from minitransformer import ops as ops
    from minitransformer import optim as optim
    from minitransformer import schedules as schedules
    from minitransformer import show as show
    from minitransformer import testing as testing
    from minitransformer import tokenizers as tokenizers
    from minitransformer import training as training
    from minitransformer.backend import set_backend as set_backend
    from minitransformer.backend import use_backend as use_backend
    from minitransformer.generation import beam_search as beam_search
    from minitransformer.generation import generate as generate
    from minitransformer.generation import repetition_penalty as repetition_penalty
    from minitransformer.generation import stream as stream
    from minitransformer.generation import top_k as top_k
    from minitransformer.generation import top_p as top_p
    from minitransformer.models import GPT as GPT
    from minitransformer.models import GPTConfig as GPTConfig
    from minitransformer.nn import sinusoidal_positions as sinusoidal_positions
    from minitransformer.ops import adamw_step as adamw_step
    from minitransformer.ops import kv_append as kv_append
    from minitransformer.optim import SGD as SGD
    from minitransformer.optim import Adam as Adam
    from minitransformer.optim import AdamW as AdamW
    from minitransformer.optim import clip_grad_norm as clip_grad_norm
    from minitransformer.schedules import constant as constant
    from minitransformer.schedules import warmup_cosine as warmup_cosine
    from minitransformer.schedules import warmup_inverse_sqrt as warmup_inverse_sqrt
    from minitransformer.testing import gradcheck as gradcheck
    from minitransformer.tokenizers import BPETokenizer as BPETokenizer
    from minitransformer.tokenizers import CharTokenizer as CharTokenizer
    from minitransformer.tokenizers import bpe_merge as bpe_merge
    from minitransformer.tokenizers import load_tokenizer as load_tokenizer

    __version__: str
else:

    def __getattr__(name):
        if name == "__version__":
            value = import_module("importlib.metadata").version(__name__)
        elif name in _EXPORTS:
            value = import_module(f"{__name__}.{name}")
        elif name in _OWNERS:
            value = getattr(import_module(f"{__name__}.{_OWNERS[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        return [*__all__, "__version__"]
