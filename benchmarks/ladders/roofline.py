"""The roofline picture: how many operations for each byte, against how many in a second.

Under the slanted part of a roof a kernel waits for memory, under the flat one for arithmetic. A
rung that saves walks through memory moves to the right, one that uses the core better moves up.

References
----------
Williams, Waterman, Patterson (2009), Roofline: An Insightful Visual Performance Model.
"""

import io
import math
import re
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.ladders.labels import Label, place_labels
from benchmarks.ladders.limits import Limits
from benchmarks.ladders.results import Book
from minitransformer.files import atomic_write

STYLES = (  # safe for the colour-blind, and told apart by shape as well
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#007a5a", "^"),
    ("#a6428a", "D"),
    ("#8a6100", "v"),
)
ROOFS = {"all cores": ("-", "#222222", 1), "one core": ("--", "#6b6b6b", -1)}
"""Line style, colour, and whether what is written goes above or below."""
SLOPE_TEXT, FLAT_TEXT = 1.25, 12
"""Where on a roof it is written."""
INTENSITIES = 0.04, 400.0
TITLE = "Kernel ladders under the roofs of this machine"


def draw(book: Book, svg: Path, png: Path) -> None:
    """Draw all ladders into one picture, as SVG with a text alternative, and as PNG."""
    with matplotlib.rc_context({"svg.hashsalt": "ladders", "font.family": "DejaVu Sans"}):
        figure = picture(book)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        with atomic_write(png) as file:
            figure.savefig(file, format="png", dpi=144)
    with atomic_write(svg) as file:
        file.write(with_alternative(text.getvalue(), TITLE, describe(book)).encode())


def picture(book: Book) -> Figure:
    """The picture itself."""
    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", yscale="log", title=TITLE)
    axes.set(xlabel="operations for each byte through memory", ylabel="operations in a second")
    lowest = min(rung.rate for climb in book.ladders.values() for rung in climb.rungs)
    axes.set(xlim=INTENSITIES, ylim=(lowest / 2, 2 * book.limits["all cores"].flops))
    axes.yaxis.set_major_formatter(lambda flops, _: f"{flops / 1e9:g} G")
    axes.xaxis.set_major_formatter(lambda intensity, _: f"{intensity:g}")
    axes.grid(which="major", alpha=0.25)
    figure.canvas.draw()
    lines = [_roof(axes, name, limits) for name, limits in book.limits.items()]
    labels = []
    for climb, (colour, marker) in zip(book.ladders.values(), STYLES, strict=False):
        points = [(rung.intensity, rung.rate) for rung in climb.rungs]
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            marker=marker,
            markersize=7,
            linewidth=1,
            label=climb.title,
        )
        lines.append(points)
        labels += [
            Label(f"{number} {rung.title}", *point, colour)
            for number, (rung, point) in enumerate(zip(climb.rungs, points, strict=True), 1)
        ]
    axes.legend(loc="upper left", frameon=False, fontsize=11)
    place_labels(axes, labels, lines, axes.texts[:])
    return figure


def _roof(axes: Axes, name: str, limits: Limits) -> Sequence[tuple[float, float]]:
    left, right = INTENSITIES
    corner = limits.flops / limits.bandwidth
    roof = [(x, limits.of(x)) for x in (left, corner, right)]
    style, colour, side = ROOFS[name]
    axes.plot(*zip(*roof, strict=True), style, color=colour, linewidth=1.5)
    write = partial(
        axes.annotate,
        textcoords="offset points",
        va="bottom" if side > 0 else "top",
        fontsize=11,
        fontweight="bold",
        color=colour,
    )
    write(
        f"{name}: {limits.flops / 1e9:.0f} GFLOP/s", (FLAT_TEXT, limits.flops), xytext=(0, 4 * side)
    )
    write(
        f"{name}: {limits.bandwidth / 1e9:.0f} GB/s",
        (SLOPE_TEXT, limits.of(SLOPE_TEXT)),
        xytext=(0, 3 * side),
        ha="center",
        rotation=math.degrees(math.atan(_steepness(axes))),
        rotation_mode="anchor",
    )
    return roof


def _steepness(axes: Axes) -> float:
    """Of a line on which y is proportional to x, on paper."""
    (x0, y0), (x1, y1) = axes.transData.transform([(1, 1e9), (10, 1e10)])
    return float((y1 - y0) / (x1 - x0))


def describe(book: Book) -> str:
    """The picture in words."""
    roofs = "; ".join(
        f"{name} {limits.flops / 1e9:.0f} GFLOP/s and {limits.bandwidth / 1e9:.0f} GB/s"
        for name, limits in book.limits.items()
    )
    ladders = " ".join(
        f"{climb.title}: "
        + ", ".join(f"{rung.title} {rung.rate / 1e9:.3g}" for rung in climb.rungs)
        + "."
        for climb in book.ladders.values()
    )
    return (
        "Roofline, both axes logarithmic: operations for each byte through memory against "
        f"operations in a second. Roofs: {roofs}. GFLOP/s of the rungs: {ladders}"
    )


def with_alternative(svg: str, title: str, description: str) -> str:
    """Give an SVG the title and description that screen readers read out."""
    words = (
        f'<title id="title">{escape(title)}</title>\n'
        f' <desc id="description">{escape(description)}</desc>\n'
    )
    opened = re.sub(r"<svg ", '<svg role="img" aria-labelledby="title description" ', svg, count=1)
    return re.sub(r"(<svg [^>]*>\s*)", lambda found: found[1] + words, opened, count=1)
