"""Sentence embeddings: one vector for a text, near those of texts that mean the same."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from minitransformer import ops, placement
from minitransformer.data import EncoderBatch
from minitransformer.data.pairs import pad
from minitransformer.errors import InputError
from minitransformer.models import Bert
from minitransformer.models.pooling import pooling_weights
from minitransformer.tokenizers import Tokenizer


def embed(
    model: Bert,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    batch_size: int = 32,
    truncate: bool = False,
) -> np.ndarray:
    """Turn texts into vectors of length 1, whose product says how much they mean the same.

    The mean of what the model knows of all tokens, padding left out, divided by its length.

    Parameters
    ----------
    model, tokenizer
        Of a checkpoint trained for it, such as all-MiniLM-L6-v2.
    texts
        N texts.
    batch_size
        Texts that go through the model at once.
    truncate
        Cut off what the model's context has no room for; otherwise that is an error.

    Returns
    -------
    (N, C) float32

    Raises
    ------
    InputError
        If a text has more tokens than the context, and is not to be cut off.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, arXiv:1908.10084.
    """
    vectors = np.empty((len(texts), model.config.width), np.float32)
    for rows, part in embed_in_batches(model, tokenizer, texts, batch_size, truncate):
        vectors[rows] = part
    return vectors


def embed_in_batches(
    model: Bert,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    batch_size: int = 32,
    truncate: bool = False,
) -> Iterator[tuple[NDArray[np.int64], np.ndarray]]:
    """The vectors of :func:`embed`, as they are computed: the indices of some texts, and theirs."""
    context = model.config.context
    ids = [tokenizer.encode(text) for text in texts]
    for i, each in enumerate(ids):
        if len(each) > context and not truncate:
            raise InputError(
                f"text {i + 1} of {len(texts)} makes {len(each)} tokens, but the model reads "
                f"{context}; divide it, or have it cut off (truncate)"
            )
        if len(each) > context:
            each[context - 1 :] = each[-1:]  # the token that ends all texts
    longest_last = np.argsort([len(each) for each in ids], kind="stable")
    for start in range(0, len(ids), batch_size):
        rows = longest_last[start : start + batch_size]  # of like lengths: little padding
        means = _means(model, [ids[row] for row in rows])
        yield rows, means / np.linalg.norm(means, axis=1, keepdims=True)


def _means(model: Bert, ids: Sequence[Sequence[int]]) -> np.ndarray:
    inputs = pad("texts", ids)
    lengths = np.array([len(each) for each in ids])
    x, _ = model.hidden(EncoderBatch(inputs, lengths, np.zeros(len(ids), np.int64)))
    means, _ = ops.matmul_forward(pooling_weights("mean", lengths, x.shape[1], x.dtype), x)
    return np.asarray(placement.to_host(means)[:, 0])
