"""From text files to batches of tokens."""

from minitransformer.data.batches import (
    IGNORE,
    AnyBatch,
    Batch,
    EncoderBatch,
    MultiTaskBatch,
    PairBatch,
    count_targets,
    split_batch,
)
from minitransformer.data.corruption import MaskedTokens, draw_masked_tokens, mask_tokens
from minitransformer.data.objectives import (
    masked_lm_batch,
    objective_rng,
    prefix_lm_batch,
    span_corruption_batch,
    span_count,
)
from minitransformer.data.pairs import pad, pair_batch
from minitransformer.data.sampling import (
    batch_at,
    batch_offsets,
    sample_batch,
    validation_batches,
)
from minitransformer.data.text import default_text, read_text
from minitransformer.data.tokens import (
    Tokens,
    open_tokens,
    split,
    unigram_entropy,
    write_tokens,
)

__all__ = [
    "IGNORE",
    "AnyBatch",
    "Batch",
    "EncoderBatch",
    "MaskedTokens",
    "MultiTaskBatch",
    "PairBatch",
    "Tokens",
    "batch_at",
    "batch_offsets",
    "count_targets",
    "default_text",
    "draw_masked_tokens",
    "mask_tokens",
    "masked_lm_batch",
    "objective_rng",
    "open_tokens",
    "pad",
    "pair_batch",
    "prefix_lm_batch",
    "read_text",
    "sample_batch",
    "span_corruption_batch",
    "span_count",
    "split",
    "split_batch",
    "unigram_entropy",
    "validation_batches",
    "write_tokens",
]
