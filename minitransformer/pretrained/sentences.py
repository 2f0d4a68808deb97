"""Sentence embeddings: one vector for a text, near those of texts that mean the same."""

from collections.abc import Sequence

import numpy as np

from minitransformer import ops
from minitransformer.data import EncoderBatch
from minitransformer.data.pairs import pad
from minitransformer.models import Bert
from minitransformer.models.pooling import pooling_weights
from minitransformer.tokenizers import Tokenizer


def embed(
    model: Bert, tokenizer: Tokenizer, texts: Sequence[str], batch_size: int = 32
) -> np.ndarray:
    """Turn texts into vectors of length 1, whose product says how much they mean the same.

    The mean of what the model knows of all tokens, padding left out, divided by its length.

    Parameters
    ----------
    model, tokenizer
        Of a checkpoint trained for it, such as all-MiniLM-L6-v2.
    texts
        N texts, none longer than the model's context.
    batch_size
        Texts that go through the model at once.

    Returns
    -------
    (N, C) float32

    Raises
    ------
    InputError
        If a text has more tokens than the context.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, arXiv:1908.10084.
    """
    ids = [tokenizer.encode(text) for text in texts]
    longest_last = np.argsort([len(each) for each in ids], kind="stable")
    vectors = np.empty((len(ids), model.config.width), np.float32)
    for start in range(0, len(ids), batch_size):
        rows = longest_last[start : start + batch_size]  # of like lengths: little padding
        vectors[rows] = _means(model, [ids[row] for row in rows])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _means(model: Bert, ids: Sequence[Sequence[int]]) -> np.ndarray:
    inputs = pad("texts", ids)
    lengths = np.array([len(each) for each in ids])
    x, _ = model.hidden(EncoderBatch(inputs, lengths, np.zeros(len(ids), np.int64)))
    means, _ = ops.matmul_forward(pooling_weights("mean", lengths, x.shape[1], x.dtype), x)
    return means[:, 0]
