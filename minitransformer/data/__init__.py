"""From text files to batches of tokens."""

from minitransformer.data.batches import (
    Batch,
    batch_at,
    batch_offsets,
    sample_batch,
    validation_batches,
)
from minitransformer.data.corruption import MaskedTokens, draw_masked_tokens, mask_tokens
from minitransformer.data.text import default_text, read_text
from minitransformer.data.tokens import (
    Tokens,
    open_tokens,
    split,
    unigram_entropy,
    write_tokens,
)

__all__ = [
    "Batch",
    "MaskedTokens",
    "Tokens",
    "batch_at",
    "batch_offsets",
    "default_text",
    "draw_masked_tokens",
    "mask_tokens",
    "open_tokens",
    "read_text",
    "sample_batch",
    "split",
    "unigram_entropy",
    "validation_batches",
    "write_tokens",
]
