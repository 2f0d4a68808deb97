"""The logit lens: what a model would say if it ended after each of its blocks."""

from typing import Any

import numpy as np

from minitransformer import ops
from minitransformer.errors import InputError
from minitransformer.models import BertForMaskedLM
from minitransformer.models.masked_lm import BertForMaskedLMCache
from minitransformer.models.whisper import WhisperCache
from minitransformer.nn import LayerNorm
from minitransformer.show import html
from minitransformer.show.heatmap import COLUMNS, number
from minitransformer.show.words import token_texts, visible
from minitransformer.tokenizers import Tokenizer


def logits_along_depth(cache: Any, model: BertForMaskedLM | None = None) -> np.ndarray:
    """Score every token after the embedding and after every block, with the model's own output.

    Parameters
    ----------
    cache
        Of a GPT, a Llama, a Whisper, or a masked language model, whatever the backend.
    model
        The masked language model that made the cache, whose biases a cache does not hold. Of the
        others the cache has all.

    Returns
    -------
    (N + 1, B, T, V)
        For N blocks. The last are the logits of the model.

    Raises
    ------
    InputError
        If the cache is of anything else.

    Notes
    -----
    All blocks of a pre-norm model add to one sum, which the last norm and the output layer read.
    The lens reads the sum earlier: ``logits_n = output(norm(x_n))``. The norm at the head of the
    next block has already divided x_n by its size, and remembers the result. A post-norm block
    ends in a norm, so that what it returns is read as it is.

    References
    ----------
    nostalgebraist (2020), interpreting GPT: the logit lens.
    """
    if isinstance(cache, BertForMaskedLMCache):
        return _of_masked_lm(cache, model)
    stack = cache.decoder if isinstance(cache, WhisperCache) else cache
    if not (hasattr(cache, "logits") and hasattr(stack, "blocks") and hasattr(stack, "norm")):
        raise InputError(
            f"cache is a {type(cache).__name__}, expected that of a GPT, a Llama, a Whisper or a "
            "BertForMaskedLM: logits, cache = model(ids)"
        )
    output, gamma = cache.logits, stack.norm.gamma
    beta = output.x - _normalised(stack.norm) * gamma  # the same everywhere, 0 in an RMS norm
    norms = [*(block.attention_norm for block in stack.blocks), stack.norm]
    return np.stack(
        [
            ops.linear_forward(
                _normalised(norm) * gamma + beta, output.w, transposed=output.transposed
            )[0]
            for norm in norms
        ]
    )


def logit_lens(
    cache: Any,
    tokenizer: Tokenizer | None = None,
    row: int = 0,
    model: BertForMaskedLM | None = None,
) -> html.Picture:
    """Draw the best guess after every block, the stronger coloured, the more probable it is.

    Columns are the places of the text, under the tokens that were read there; rows are blocks.
    A decoder guesses the next token, a masked language model that of the place itself.

    Parameters
    ----------
    cache, model
        As for :func:`logits_along_depth`.
    tokenizer
        Turns ids into text; without it, the ids are drawn.
    row
        Of the batch.

    Raises
    ------
    InputError
        If the cache is of another kind of model.
    IndexError
        If there is no such row.
    """
    logits = logits_along_depth(cache, model)[:, row]
    probs, _ = ops.softmax_forward(logits[:, -COLUMNS:])
    best = probs.argmax(axis=-1)
    sure = np.take_along_axis(probs, best[..., None], axis=-1)[..., 0]
    read = _ids(cache)[row, -COLUMNS:]
    names = [visible(piece) for piece in token_texts(tokenizer, read)]
    guesses = [[visible(piece) for piece in token_texts(tokenizer, ids)] for ids in best]
    depths = ["embedding", *(f"block {n}" for n in range(len(best) - 1))]
    left_out = logits.shape[1] - len(read)
    note = f"the last {len(read)} of {logits.shape[1]} places" if left_out else ""
    said = [
        [depth, *(f"{g} {number(float(p))}" for g, p in zip(guess, ps, strict=True))]
        for depth, guess, ps in zip(depths, guesses, sure, strict=True)
    ]
    words = html.columns_of_text(["after", *names], said) + (f"\n{note}" if note else "")
    body = "".join(
        _line(_heading(depth), [_cell(g, float(p)) for g, p in zip(guess, ps, strict=True)])
        for depth, guess, ps in zip(depths, guesses, sure, strict=True)
    )
    head = _line(_heading("after"), map(_heading, names))
    return html.Picture(
        f'<div role="img" aria-label="{html.escape(words)}" style="overflow-x:auto"><table '
        f'style="border-collapse:separate;border-spacing:2px;color:inherit;background:none;'
        f'{html.MONO};font-size:11.5px;margin:4px 0">{head}{body}</table></div>{html.note(note)}',
        words,
    )


def _of_masked_lm(cache: BertForMaskedLMCache, model: BertForMaskedLM | None) -> np.ndarray:
    if model is None:
        raise InputError(
            "model is missing: the cache of a masked language model has not all of its output "
            "layer; say logit_lens(cache, tokenizer, model=model)"
        )
    caches = [
        cache.trunk.embeddings.norm,
        *(block.feed_forward_norm for block in cache.trunk.blocks),
    ]
    trunk = model.trunk
    norms = [trunk.embeddings.norm, *(block.feed_forward_norm for block in trunk.blocks)]
    logits = []
    for norm, norm_cache in zip(norms, caches, strict=True):
        assert isinstance(norm, LayerNorm)
        x = _normalised(norm_cache) * norm.gamma.data + norm.beta.data
        x, _ = model.transform(x)
        x, _ = model.activation(x)
        x, _ = model.norm(x)
        logits.append(trunk.embeddings.tokens.logits(x, model.bias)[0])
    return np.stack(logits)


def _ids(cache: Any) -> np.ndarray:
    masked = isinstance(cache, BertForMaskedLMCache)
    embedding = cache.trunk.embeddings.tokens if masked else cache.token_embedding
    ids: np.ndarray = embedding.ids
    return ids


def _normalised(cache: Any) -> np.ndarray:
    """What a norm makes of its input before gain and shift, from the cache of any backend."""
    if hasattr(cache, "xhat"):
        return cache.xhat  # type: ignore[no-any-return]
    rows = cache.x.reshape(-1, cache.x.shape[-1])
    if hasattr(cache, "mean"):
        xhat = (rows - cache.mean[:, None]) * cache.rstd[:, None]
    else:
        xhat = rows * cache.rrms[:, None]
    return xhat.reshape(cache.x.shape)  # type: ignore[no-any-return]


_STYLE = "padding:1px 6px;border:0;text-align:center;white-space:pre"


def _line(first: str, cells: Any) -> str:
    return f'<tr style="background:none">{first}{"".join(cells)}</tr>'


def _heading(text: str) -> str:
    return f'<th style="{_STYLE};color:inherit;background:none">{html.escape(text)}</th>'


def _cell(text: str, probability: float) -> str:
    ground = html.tint(html.FORWARD, 0.85 * probability)
    return (
        f'<td title="{number(probability)}" style="{_STYLE};color:inherit;background:{ground}">'
        f"{html.escape(text)}</td>"
    )
