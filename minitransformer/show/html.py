"""Pieces of a page that need no style sheet, script or font, and look right in light and dark.

Text has the colour of the page around it. Forward is blue and backward vermilion, both of a middle
lightness on which black and white can be read, and told apart by colour-blind eyes.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FORWARD = "#0072B2"
BACKWARD = "#D55E00"
NEUTRAL = "#757575"
COLOURS = {
    "forward": FORWARD,
    "backward": BACKWARD,
    "neutral": NEUTRAL,
    "green": "#009E73",
    "pink": "#CC79A7",
}

MONO = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"


@dataclass(frozen=True, repr=False)
class Picture:
    """Something to look at: HTML in a notebook, text elsewhere.

    Attributes
    ----------
    html : str
        With inline SVG; complete in itself.
    text : str
        The same in words.
    """

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def escape(text: object) -> str:
    """Make any text safe to stand in HTML, attributes included."""
    return html.escape(str(text), quote=True)


def tint(colour: str, opacity: float) -> str:
    """Return the colour as CSS, let through by so much."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:.3g})"


def code(text: str, colour: str | None = None, current: bool = False) -> str:
    """Write source with a coloured bar beside it, the current line coloured behind as well."""
    bar = "transparent" if colour is None else colour if current else tint(colour, 0.35)
    behind = tint(colour, 0.22) if colour and current else "transparent"
    return (
        f'<div style="{MONO};font-size:12.5px;line-height:1.5;white-space:pre-wrap;'
        f"text-align:left;overflow-wrap:anywhere;border-left:4px solid {bar};"
        f'background:{behind};padding:0 8px;margin:0">{escape(text) or "&nbsp;"}</div>'
    )


def note(text: str) -> str:
    """Small print."""
    return (
        '<div style="font-size:12px;opacity:.8;margin:2px 0 2px 12px;text-align:left">'
        f"{escape(text)}</div>"
    )


def row(parts: Iterable[str]) -> str:
    """Lay pieces side by side; they wrap where the page ends."""
    inner = "".join(parts)
    style = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:4px 20px;margin:4px 0 8px 12px"
    return f'<div style="{style}">{inner}</div>' if inner else ""


def columns(left: str, right: str) -> str:
    """Lay two pieces side by side, or under one another where the page is narrow."""
    style = "flex:1 1 320px;min-width:0"
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start">'
        f'<div style="{style}">{left}</div><div style="{style}">{right}</div></div>'
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; what looks like a number stands on the right."""
    cell = "padding:2px 10px;border:0;border-bottom:1px solid rgba(128,128,128,.35);background:none"

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(_cell(each, tag, cell) for each in cells) + "</tr>"

    body = "".join(line(each, "td") for each in rows)
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;color:inherit;'
        f'background:none;{MONO};font-size:12.5px;margin:4px 0">'
        f"{line(header, 'th')}{body}</table></div>"
    )


def _cell(content: object, tag: str, style: str) -> str:
    text = str(content)
    is_number = text[:1] in "0123456789+-−." and text != ""
    align = "right" if is_number else "left"
    return f'<{tag} style="{style};text-align:{align};color:inherit">{escape(text)}</{tag}>'


def columns_of_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table as text."""
    lines = [list(header), *([str(cell) for cell in each] for each in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
