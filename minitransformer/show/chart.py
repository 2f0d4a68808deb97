"""Curves on logarithmic or plain axes, as inline SVG."""

import math
from collections.abc import Mapping, Sequence

from minitransformer.show.html import COLOURS, Picture, escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 128, 14, 42
_DASHES = {"forward": "", "backward": "6 3", "neutral": "2 3"}


def curves(
    lines: Mapping[str, tuple[str, Points]], x_label: str, y_label: str, log_x: bool = False
) -> Picture:
    """Draw curves over a common axis; the other axis is logarithmic.

    Parameters
    ----------
    lines
        By name, the role (``"forward"``, ``"backward"``, ``"neutral"``) and the points; points
        that a logarithm cannot show are left out.
    x_label, y_label
        What the axes measure.
    log_x
        Whether the common axis is logarithmic too.
    """
    shown = {
        name: (role, [(x, y) for x, y in sorted(points) if y > 0 and (x > 0 or not log_x)])
        for name, (role, points) in lines.items()
    }
    xs = [math.log10(x) if log_x else x for _, points in shown.values() for x, _ in points]
    ys = [math.log10(y) for _, points in shown.values() for _, y in points]
    low = math.floor(min(ys))
    high = max(math.ceil(max(ys)), low + 1)
    span_x = (max(xs) - min(xs)) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        share_x = ((math.log10(x) if log_x else x) - min(xs)) / span_x
        share_y = (math.log10(y) - low) / (high - low)
        return (
            _LEFT + share_x * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - share_y * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for power in range(low, high + 1, max(1, math.ceil((high - low) / 7))):
        x, y = float(_LEFT), place(10 ** min(xs) if log_x else min(xs), 10.0**power)[1]
        parts.append(_line(x, y, WIDTH - _RIGHT, y, 0.15) + _text(x - 6, y + 4, _ten(power), "end"))
    for tick in _ticks(min(xs), max(xs)):
        x = place(10.0**tick if log_x else tick, 10.0**low)[0]
        parts.append(_text(x, HEIGHT - _BOTTOM + 16, _ten(tick) if log_x else str(tick), "middle"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, x_label, "middle"))
    for (role, points), y_text in zip(
        shown.values(),
        _spread([place(*points[-1])[1] for _, points in shown.values()]),
        strict=True,
    ):
        places = [place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        colour = COLOURS[role]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2" '
            f'stroke-dasharray="{_DASHES[role]}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
        name = next(n for n, each in shown.items() if each[1] is points)
        parts.append(_text(WIDTH - _RIGHT + 8, y_text + 4, name, "start"))
    smallest = {n: min(points, key=lambda p: p[1]) for n, (_, points) in shown.items()}
    words = f"{y_label} against {x_label}; " + "; ".join(
        f"{n}: from {points[0][1]:.1e} to {points[-1][1]:.1e}, least {smallest[n][1]:.1e} at "
        f"{smallest[n][0]:.2g}"
        for n, (_, points) in shown.items()
    )
    return Picture(
        f'<figure style="margin:0"><figcaption style="font-size:12.5px;text-align:left">'
        f'{escape(y_label)}</figcaption><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{escape(words)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width:100%;height:auto">{"".join(parts)}</svg></figure>',
        words,
    )


def _ticks(low: float, high: float) -> list[int]:
    first, last = math.ceil(low), math.floor(high)
    return list(range(first, last + 1, max(1, math.ceil((last - first) / 8))))


def _spread(heights: list[float]) -> list[float]:
    """Move labels apart that would overlap."""
    placed: dict[int, float] = {}
    lowest = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        lowest = max(heights[index], lowest + 14)
        placed[index] = lowest
    return [placed[index] for index in range(len(heights))]


def _ten(power: float) -> str:
    return "1" if power == 0 else f"1e{power}".replace("-", "−")


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        f'stroke-opacity="{opacity}"/>'
    )


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" font-family="sans-serif" '
        f'fill="currentColor" text-anchor="{anchor}">{escape(content)}</text>'
    )
