"""Text in pictures: how it is cut into tokens, and how probable each of them is to a model."""

from collections.abc import Sequence

import numpy as np

from minitransformer import ops
from minitransformer.data import IGNORE
from minitransformer.errors import InputError
from minitransformer.show import html
from minitransformer.show.heatmap import number
from minitransformer.tokenizers import Tokenizer

ALTERNATIVES = 3
"""Tokens that are named beside the one that was asked for."""


def token_texts(tokenizer: Tokenizer | None, ids: Sequence[int] | np.ndarray) -> list[str]:
    """Text of each token by itself; without a tokenizer, the ids."""
    if tokenizer is None:
        return [str(token) for token in ids]
    return [tokenizer.decode([int(token)]) for token in ids]


def visible(text: str) -> str:
    """A token's text with its blanks and line ends made visible, for labels."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def tokens(tokenizer: Tokenizer, text: str) -> html.Picture:
    """Draw a text with each token on its own ground; its id appears under the pointer.

    Parameters
    ----------
    tokenizer
        Any tokenizer.
    text
        What to cut.
    """
    ids = tokenizer.encode(text)
    pieces = token_texts(tokenizer, ids)
    words = "|".join(pieces)
    spans = [
        _span(piece, 0.45 if i % 2 else 0.16, str(token))
        for i, (token, piece) in enumerate(zip(ids, pieces, strict=True))
    ]
    return html.Picture(_paragraph(spans, f"{len(ids)} tokens: {words}"), words)


def token_probabilities(
    logits: np.ndarray, targets: np.ndarray, tokenizer: Tokenizer | None = None
) -> html.Picture:
    """Draw a text with each token the stronger coloured, the more probable it was to the model.

    What the model would rather have said appears under the pointer, and in the words.

    Parameters
    ----------
    logits : (T, V)
        Scores of every token at every place: of a decoder ``model(ids)[0][0, :-1]``.
    targets : (T,) integers
        What stands there: ``ids[0, 1:]``. Where it is -100, nothing is drawn.
    tokenizer
        Turns ids into text; without it, the ids are drawn.

    Raises
    ------
    InputError
        If the shapes do not fit together, or nothing is asked for.
    IndexError
        If a target is outside the vocabulary.
    """
    if np.ndim(logits) != 2 or np.shape(targets) != np.shape(logits)[:1]:
        raise InputError(
            f"logits has shape {np.shape(logits)} and targets {np.shape(targets)}, expected (T, V) "
            "and (T,); take one row of a batch, such as logits[0, :-1] and ids[0, 1:]"
        )
    asked = np.flatnonzero(np.asarray(targets) != IGNORE)
    if not asked.size:
        raise InputError(f"targets are all {IGNORE}: nothing is asked for")
    targets = np.asarray(targets)[asked]
    loss, _ = ops.cross_entropy_forward(logits[asked], targets)
    probs, _ = ops.softmax_forward(logits[asked])
    chosen = np.take_along_axis(probs, targets[:, None], axis=-1)[:, 0]
    pieces = token_texts(tokenizer, targets)
    rows = [
        (visible(piece), number(float(p)), _most_probable(row, tokenizer))
        for piece, p, row in zip(pieces, chosen, probs, strict=True)
    ]
    text = html.columns_of_text(("token", "probability", "most probable"), rows)
    spans = [
        _span(piece, 0.85 * float(p), f"{name} {share}; most probable: {others}")
        for piece, p, (name, share, others) in zip(pieces, chosen, rows, strict=True)
    ]
    summary = f"mean surprise {loss:.2f} nats, perplexity {np.exp(loss):.4g}"
    words = f"{summary}\n{text}"
    return html.Picture(_paragraph(spans, words) + _scale() + html.note(summary), words)


def _most_probable(probs: np.ndarray, tokenizer: Tokenizer | None) -> str:
    best = np.argsort(-probs, kind="stable")[:ALTERNATIVES]
    pieces = map(visible, token_texts(tokenizer, best))
    return ", ".join(
        f"{piece} {number(float(probs[i]))}" for i, piece in zip(best, pieces, strict=True)
    )


def _span(text: str, opacity: float, title: str) -> str:
    shown = text.replace("\n", "⏎\n") or "∅"
    return (
        f'<span title="{html.escape(title)}" style="background:'
        f"{html.tint(html.FORWARD, opacity)};padding:2px 0;margin-right:1px;border-radius:2px;"
        f'white-space:pre-wrap">{html.escape(shown)}</span>'
    )


def _paragraph(spans: Sequence[str], words: str) -> str:
    return (
        f'<div role="img" aria-label="{html.escape(words)}" style="font-size:17px;line-height:1.7;'
        f'margin:6px 0;text-align:left">{"".join(spans)}</div>'
    )


def _scale() -> str:
    """What the colours mean."""
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    return (
        '<div aria-hidden="true" style="font-size:12px;opacity:.9;text-align:left">probability '
        + "".join(_span(f" {step:g} ", 0.85 * step, "") for step in steps)
        + "</div>"
    )
