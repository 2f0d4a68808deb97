"""Curves on logarithmic or plain axes, as inline SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minitransformer.show.html import COLOURS, Picture, escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 290
_LEFT, _TOP, _BOTTOM = 62, 14, 42
_LETTER = 6.6  # width of one
_WITH_DOTS = 40  # points of a line
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DASHES = {"forward": "", "backward": "6 3", "neutral": "2 3", "green": "10 3 2 3", "pink": "4 2"}


def curves(
    lines: Mapping[str, tuple[str, Points]],
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = True,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> Picture:
    """Draw curves over a common axis.

    Parameters
    ----------
    lines
        By name, the role (``"forward"``, ``"backward"``, ``"neutral"``; for more curves than these
        ``"green"`` and ``"pink"``) and the points; points that a logarithm cannot show are left
        out.
    x_label, y_label
        What the axes measure.
    log_x, log_y
        Which of them are logarithmic.
    marks
        Single points by name, drawn over the curves.
    """
    marks = marks or {}
    shown = {
        name: (
            role,
            [(x, y) for x, y in sorted(points) if _can_show(x, log_x) and _can_show(y, log_y)],
        )
        for name, (role, points) in lines.items()
    }
    right = WIDTH - 16 - _LETTER * max(map(len, shown))
    everywhere = [*marks.values(), *(each for _, points in shown.values() for each in points)]
    xs, ys = zip(*everywhere, strict=True)
    across = _Axis(min(xs), max(xs), log_x, _LEFT, right)
    heights = _round_values(min(ys), max(ys), log_y)
    up = _Axis(heights[0], heights[-1], log_y, HEIGHT - _BOTTOM, _TOP)
    parts = [_text((_LEFT + right) / 2, HEIGHT - 6, x_label, "middle")]
    for value, label in zip(heights, _labels(heights, log_y), strict=True):
        y = up.place(value)
        parts.append(_rule(_LEFT, y, right) + _text(_LEFT - 6, y + 4, label, "end"))
    ticks = [each for each in _round_values(min(xs), max(xs), log_x) if min(xs) <= each <= max(xs)]
    for value, label in zip(ticks, _labels(ticks or [1.0], log_x), strict=False):
        parts.append(_text(across.place(value), HEIGHT - _BOTTOM + 16, label, "middle"))
    ends = _spread([up.place(points[-1][1]) for _, points in shown.values()])
    for (name, (role, points)), end in zip(shown.items(), ends, strict=True):
        places = [(across.place(x), up.place(y)) for x, y in points]
        parts += [_line(places, role), _text(right + 8, end + 4, name, "start")]
    parts += [_mark(n, across.place(x), up.place(y), right) for n, (x, y) in marks.items()]
    words = f"{y_label} against {x_label}; " + "; ".join(
        f"{name}: {_summary(points)}" for name, (_, points) in shown.items()
    )
    words += "".join(f"; {name}: {y:.3g} at {x:.3g}" for name, (x, y) in marks.items())
    return Picture(
        f'<figure style="margin:0"><figcaption style="font-size:12.5px;text-align:left">'
        f'{escape(y_label)}</figcaption><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{escape(words)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width:100%;height:auto">{"".join(parts)}</svg></figure>',
        words,
    )


def _can_show(value: float, log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not log)


@dataclass(frozen=True)
class _Axis:
    """A scale, drawn from one place of the picture to another."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    def place(self, value: float) -> float:
        low, high, at = (
            math.log10(each) if self.log else each for each in (self.low, self.high, value)
        )
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)


def _round_values(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from the last one below to the first one above, about seven of them."""
    if log:
        mantissas = (1,) if high > 30 * low else (1, 2, 5)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [float(f"{mantissa}e{power}") for power in powers for mantissa in mantissas]
        first = max(i for i, value in enumerate(values) if value <= low)
        last = min((i for i, value in enumerate(values) if value >= high), default=len(values))
        return values[first : last + 1 : math.ceil((last - first) / 7) or 1]
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
    return [n * step for n in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _spread(heights: list[float]) -> list[float]:
    """Move labels apart that would overlap."""
    placed: dict[int, float] = {}
    lowest = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        lowest = max(heights[index], lowest + 14)
        placed[index] = lowest
    return [placed[index] for index in range(len(heights))]


def _labels(values: Sequence[float], log: bool) -> list[str]:
    """Round numbers as one writes them; if some are very small or large, as powers of ten."""
    far = log and (min(values) < 9e-4 or max(values) > 1.1e5)
    return [_power(value) if far else f"{value:,.6g}".replace("-", "−") for value in values]


def _power(value: float) -> str:
    mantissa, exponent = f"{value:.0e}".split("e")
    times = "" if mantissa == "1" else f"{mantissa}·"
    return f"{times}10{str(int(exponent)).translate(_RAISED)}"


def _summary(points: Points) -> str:
    x, y = min(points, key=lambda point: point[1])
    return f"from {points[0][1]:.2g} to {points[-1][1]:.2g}, least {y:.2g} at {x:.3g}"


def _line(places: Sequence[tuple[float, float]], role: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = places if len(places) <= _WITH_DOTS else []
    return (
        f'<polyline points="{path}" fill="none" stroke="{COLOURS[role]}" stroke-width="2.2" '
        f'stroke-dasharray="{_DASHES[role]}"/>'
    ) + "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{COLOURS[role]}"/>' for x, y in dots
    )


def _mark(name: str, x: float, y: float, right: float) -> str:
    """A ring, and its name on the side where there is room."""
    fits = x + 10 + _LETTER * len(name) < right
    label = _text(x + 9, y - 7, name, "start") if fits else _text(x - 9, y - 7, name, "end")
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="currentColor" '
        f'stroke-width="2"/>{label}'
    )


def _rule(x1: float, y: float, x2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y:.1f}" stroke="currentColor" '
        'stroke-opacity="0.15"/>'
    )


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" font-family="sans-serif" '
        f'fill="currentColor" text-anchor="{anchor}">{escape(content)}</text>'
    )
