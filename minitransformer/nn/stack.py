"""Blocks one after the other, as a decoder runs them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.backend import op
from minitransformer.nn.blocks import BlockCache, PreNormBlock
from minitransformer.nn.key_values import KeyValues


@op(composed=True)
def run_blocks(
    blocks: Sequence[PreNormBlock],
    x: np.ndarray,
    mask: np.ndarray | None = None,
    causal: bool = False,
    rng: np.random.Generator | None = None,
    kv: KeyValues | None = None,
) -> tuple[np.ndarray, tuple[BlockCache | Any, ...]]:
    """Give each block what the one before it returns.

    Parameters
    ----------
    blocks
        In their order.
    x : (B, T, C)
    mask, causal, rng
        As for :class:`MultiHeadAttention`.
    kv
        Memory of generation, with a layer for each block.

    Returns
    -------
    y : (B, T, C)
    caches
        One for each block.
    """
    caches = []
    for i, block in enumerate(blocks):
        x, cache = block(x, mask, causal, rng, None if kv is None else kv.layers[i])
        caches.append(cache)
    return x, tuple(caches)
