"""Arrays as pictures: one cell for each value, coloured by size, with the number if it fits."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.show.html import COLOURS, MONO, NEUTRAL, Picture, escape

ROWS, COLUMNS, PANELS = 32, 48, 6
"""Cells and panels drawn at most; the picture says what is left out."""

_WITH_NUMBERS = 12  # columns
_LETTER = 7  # width of one


def heatmap(
    array: Any,
    name: str = "",
    axes: Sequence[str] = (),
    role: str = "forward",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    shape: Sequence[int] | None = None,
) -> Picture:
    """Draw an array, the last two axes as rows and columns and one panel for each leading index.

    The strongest colour is the largest absolute value; positive values have the colour of their
    role and negative ones are grey.

    Parameters
    ----------
    array : array of numbers or booleans, any shape
    name
        Title.
    axes
        Names of the axes, such as ``("B", "H", "T", "S")``.
    role
        ``"forward"`` for values, ``"backward"`` for gradients.
    rows, columns
        Labels along the last two axes, such as tokens.
    shape
        Of the whole array, if this is a corner of it.
    """
    array, rows, columns = np.asarray(array), list(rows), list(columns)
    shape = array.shape if shape is None else tuple(shape)
    sizes = [
        f"{axis} {n}" if axis != str(n) else axis
        for axis, n in zip(axes or ("",) * len(shape), shape, strict=True)
    ]
    title = f"{name} ({', '.join(each.strip() for each in sizes)})"
    words = f"{title}, {array.dtype}{_range(array)}"
    if array.size == 0:
        return Picture(f"<div>{escape(title)}: empty</div>", words)
    flat = array.reshape(-1, *(array.shape[-2:] if array.ndim > 1 else (1, array.size)))
    leading = array.shape[:-2]
    finite = np.abs(np.where(np.isfinite(array), array, 0).astype(np.float64))
    largest = float(finite.max()) or 1.0
    panels = []
    for index, matrix in zip(np.ndindex(leading), flat[:PANELS], strict=False):
        letters = axes[: len(leading)] or ("",) * len(leading)
        label = ", ".join(
            f"{a}={i}" if a and not a.isdigit() else str(i)
            for a, i, n in zip(letters, index, leading, strict=True)
            if n > 1
        )
        panels.append(_panel(matrix, label, tuple(axes)[-2:], largest, role, rows, columns))
    cut = _left_out(array, shape)
    html = (
        f'<figure role="img" aria-label="{escape(words)}" style="margin:0;display:inline-block;'
        f'vertical-align:top;text-align:left"><figcaption style="{MONO};font-size:12.5px;'
        f'text-align:left;margin:0 0 1px"><span style="color:{COLOURS[role]};font-weight:bold">'
        f'■</span> <b>{escape(name)}</b> <span style="opacity:.8">'
        f"{escape(title[len(name) + 1 :])}</span></figcaption>"
        f'<div style="display:flex;flex-wrap:wrap;gap:2px 12px">{"".join(panels)}</div>'
        f'<div style="font-size:11px;opacity:.8">{escape(cut)}</div></figure>'
    )
    return Picture(html, f"{words}{'; ' + cut if cut else ''}")


def number(value: Any) -> str:
    """Write a number in at most six characters."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) and abs(int(value)) < 100_000:
        return str(value).replace("-", "−")
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"
    if 0.005 <= abs(value) < 999.5:
        text = f"{value:.2f}" if abs(value) < 99.5 else f"{value:.0f}"
    else:
        mantissa, exponent = f"{value:.0e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def _panel(
    matrix: np.ndarray,
    label: str,
    axes: tuple[str, ...],
    largest: float,
    role: str,
    rows: Sequence[str],
    columns: Sequence[str],
) -> str:
    height, width = (min(n, limit) for n, limit in zip(matrix.shape, (ROWS, COLUMNS), strict=True))
    numbers = width <= _WITH_NUMBERS and height <= 16
    cell_w, cell_h = (44, 22) if numbers else (max(5, min(14, 420 // width)),) * 2
    row_labels = [str(each) for each in rows[:height]] if matrix.shape[0] > 1 or rows else []
    row_axis, column_axis = axes if len(axes) == 2 else ("", axes[0] if axes else "")
    row_title = "" if row_labels or matrix.shape[0] == 1 else _axis(row_axis, "↓")
    column_title = _axis(column_axis, " →")
    slanted = bool(columns) and _LETTER * max(map(len, columns)) > cell_w - 2
    left = 6 + _LETTER * max(map(len, [*row_labels, row_title, "  "]))
    above = 14 if label else 0
    room = _LETTER * max(map(len, columns)) if slanted else 14 * bool(columns)
    top = 16 + above + room
    centre = left + max(width * cell_w, _LETTER * len(column_title)) / 2
    parts = [_text(left, 11, label, "start")] if label else []
    parts.append(_text(centre, 11 + above, column_title, "middle"))
    parts.append(_text(left - 4, top + height * cell_h / 2 + 4, row_title, "end"))
    for r, row_label in enumerate(row_labels):
        parts.append(_text(left - 4, top + (r + 0.5) * cell_h + 4, row_label, "end"))
    for c, column_label in enumerate(columns[:width]):
        x = left + (c + 0.5) * cell_w
        if slanted:
            turn = f' transform="rotate(-90 {x + 4:.1f} {top - 4})"'
            parts.append(_text(x + 4, top - 4, column_label, "start", turn))
        else:
            parts.append(_text(x, top - 4, column_label, "middle"))
    for r in range(height):
        for c in range(width):
            at = (left + c * cell_w, top + r * cell_h, cell_w, cell_h)
            parts.append(_cell(matrix[r, c], at, largest, role, numbers))
    w = left + max(width * cell_w, _LETTER * len(label), _LETTER * len(column_title)) + 2
    h = top + height * cell_h + 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
        f'aria-hidden="true" style="max-width:100%;height:auto">{"".join(parts)}</svg>'
    )


def _cell(
    value: Any, at: tuple[float, float, float, float], largest: float, role: str, numbers: bool
) -> str:
    x, y, w, h = at
    amount = float(value)
    share = 0.0 if math.isnan(amount) else min(1.0, abs(amount) / largest)
    colour = COLOURS[role] if amount > 0 else NEUTRAL
    hidden = ' stroke-dasharray="2 2"' if not math.isfinite(amount) else ""
    rectangle = (
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{colour}" '
        f'fill-opacity="{0.9 * share:.3f}" stroke="currentColor" stroke-opacity=".18"{hidden}/>'
    )
    return rectangle + (_text(x + w / 2, y + h / 2 + 4, number(value), "middle") if numbers else "")


def _text(x: float, y: float, content: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" font-family="monospace" '
        f'fill="currentColor" text-anchor="{anchor}"{more}>{escape(content)}</text>'
    )


def _axis(name: str, arrow: str) -> str:
    return "" if not name or name.isdigit() else name + arrow


def _range(array: np.ndarray) -> str:
    if not array.size:
        return ""
    if array.dtype == np.bool_:
        return f", {int(array.sum())} of {array.size} true"
    kept = array[np.isfinite(array)]
    odd = array.size - kept.size
    span = f", from {number(kept.min())} to {number(kept.max())}" if kept.size else ""
    return span + (f", {odd} not finite" if odd else "")


def _left_out(array: np.ndarray, shape: tuple[int, ...]) -> str:
    drawn = [
        min(n, limit) for n, limit in zip(shape[-2:], (ROWS, COLUMNS)[-len(shape) :], strict=True)
    ]
    panels = math.prod(shape[:-2])
    words = []
    if panels > PANELS:
        words.append(f"the first {min(PANELS, panels)} of {panels} panels")
    if drawn != list(shape[-2:]):
        words.append(
            f"the first {' × '.join(map(str, drawn))} of {' × '.join(map(str, shape[-2:]))}"
        )
    return "; ".join(words)
