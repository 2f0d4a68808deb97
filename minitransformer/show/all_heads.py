"""The attention of all heads of a model at a glance."""

from collections.abc import Sequence

import numpy as np

from minitransformer.show.html import FORWARD, Picture, escape

PAGE, SMALLEST, LARGEST = 640, 40, 150
"""Width of the picture, and sides of a panel, as far as its cells can be cut to fit."""

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Probabilities above the first of these are drawn, in as many shades as there are."""

_GAP, _LEFT, _TOP = 6, 66, 18


def all_heads(layers: Sequence[np.ndarray]) -> Picture:
    """Draw the first text's attention, one small panel for each head: layers down, heads across.

    Parameters
    ----------
    layers
        Probabilities (B, H, T, S) of each layer.
    """
    T, S = layers[0].shape[-2:]
    heads = max(probs.shape[1] for probs in layers)
    side = min(max(PAGE // max(heads, len(layers)), SMALLEST), LARGEST)
    cell = max(1, side // max(T, S))
    width, height = cell * S, cell * T
    parts = []
    for layer, probs in enumerate(layers):
        y = _TOP + layer * (height + _GAP)
        parts.append(_text(_LEFT - 6, y + height / 2 + 4, f"layer {layer}", "end"))
        parts += [_panel(p, _LEFT + h * (width + _GAP), y, cell) for h, p in enumerate(probs[0])]
    for head in range(heads):
        x = _LEFT + head * (width + _GAP) + width / 2
        parts.append(_text(x, _TOP - 5, f"head {head}" if width >= 48 else str(head), "middle"))
    w, h = _LEFT + heads * (width + _GAP), _TOP + len(layers) * (height + _GAP)
    words = (
        f"attention of {len(layers)} layers with {heads} heads, T {T}, S {S}, probabilities from "
        f"{LEVELS[0]:g} drawn; on the average each head looks at the token itself / at the one "
        "before / at the first:\n"
        + "\n".join(f"layer {n}: {_habits(probs[0])}" for n, probs in enumerate(layers))
    )
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(words)}" '
        f'width="{w}" height="{h}" viewBox="0 0 {w} {h}" style="max-width:100%;height:auto">'
        f"{''.join(parts)}</svg>",
        words,
    )


def _panel(probs: np.ndarray, left: float, top: float, cell: int) -> str:
    T, S = probs.shape
    frame = (
        f'<rect x="{left}" y="{top}" width="{cell * S}" height="{cell * T}" fill="none" '
        'stroke="currentColor" stroke-opacity=".3"/>'
    )
    shade = np.digitize(probs, LEVELS)
    paths = []
    for level in range(1, len(LEVELS) + 1):
        cells = "".join(
            f"M{left + s * cell} {top + t * cell}h{cell}v{cell}h-{cell}z"
            for t, s in np.argwhere(shade == level)
        )
        if cells:
            opacity = 0.9 * level / len(LEVELS)
            paths.append(f'<path d="{cells}" fill="{FORWARD}" fill-opacity="{opacity:.2f}"/>')
    return "".join(paths) + frame


def _habits(probs: np.ndarray) -> str:
    """How much each head (H, T, S) looks at the token itself, at the one before, at the first."""
    T, S = probs.shape[1:]
    queries, own = np.arange(T), np.arange(S - T, S)
    places = (own, np.maximum(own - 1, 0), np.zeros_like(own))
    shares = np.stack([probs[:, queries, keys].mean(axis=1) for keys in places], axis=1)
    return ", ".join("/".join(f"{share:.2f}" for share in head) for head in shares)


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" font-family="monospace" '
        f'fill="currentColor" text-anchor="{anchor}">{escape(content)}</text>'
    )
