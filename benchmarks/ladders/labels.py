"""Labels beside points, none over another, over a point or over a line."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

DISTANCES = (9, 14, 20, 28, 38, 50, 65, 85, 110, 140, 180, 230)
DIRECTIONS = (0, 180, 30, 330, 150, 210, 60, 300, 120, 240, 90, 270)
MARKER = 9.0
"""Pixels from the middle of a point that no label may cover."""
MARGIN = 2.0


Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Label:
    """A text that belongs to a point; coordinates are those of the axes' data."""

    text: str
    x: float
    y: float
    colour: str


def place_labels(
    axes: Axes,
    labels: Sequence[Label],
    lines: Sequence[Sequence[tuple[float, float]]],
    texts: Sequence[Text],
) -> list[Annotation]:
    """Write every label as near to its point as there is room, with a leader if it is not near.

    Parameters
    ----------
    axes
        Their limits and the figure's size must not change afterwards.
    labels
        The first gets the best place.
    lines
        Polylines, in data coordinates, to keep clear of if possible.
    texts
        What is written already.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    points = [axes.transData.transform((label.x, label.y)) for label in labels]
    taken = [Bbox.from_bounds(x - MARKER, y - MARKER, 2 * MARKER, 2 * MARKER) for x, y in points]
    taken += [text.get_window_extent() for text in texts]
    paths = [Path(axes.transData.transform(line)) for line in lines]
    placed = []
    for label, (x, y) in zip(labels, points, strict=True):
        box = _best_place(_candidates(x, y, *_size(axes, label), axes.bbox), taken, paths)
        taken.append(box)
        placed.append(_write(axes, label, (box.x0 - x, box.y0 - y)))
    return placed


def _best_place(candidates: Iterable[Bbox], taken: list[Bbox], paths: list[Path]) -> Bbox:
    """The first box that is clear of boxes and paths, else of boxes, else the first."""
    occupied = np.array([box.extents for box in taken])
    inside = list(candidates)
    free = [box for box in inside if not _overlaps_any(box, occupied)]
    clear = (box for box in free if not any(path.intersects_bbox(box, False) for path in paths))
    return next(clear, (free or inside)[0])


def _overlaps_any(box: Bbox, occupied: Array) -> bool:
    x0, y0, x1, y1 = occupied.T
    return bool(((x0 < box.x1) & (box.x0 < x1) & (y0 < box.y1) & (box.y0 < y1)).any())


def _candidates(x: float, y: float, width: float, height: float, frame: Bbox) -> Iterator[Bbox]:
    """Boxes of that size around a point and within the frame, the best first."""
    for distance in DISTANCES:
        for degrees in DIRECTIONS:
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            left = x + across * (distance + width / 2) - width / 2
            bottom = y + up * (distance + height / 2) - height / 2
            if frame.x0 <= left <= frame.x1 - width and frame.y0 <= bottom <= frame.y1 - height:
                yield Bbox.from_bounds(left, bottom, width, height)


def _size(axes: Axes, label: Label) -> tuple[float, float]:
    text = _write(axes, label, (0.0, 0.0))
    extent = Text.get_window_extent(text)  # without the leader
    text.remove()
    return extent.width + 2 * MARGIN, extent.height + 2 * MARGIN


def _write(axes: Axes, label: Label, corner: tuple[float, float]) -> Annotation:
    """Write a label whose lower left corner lies that many pixels from its point."""
    points = 72 / axes.figure.dpi
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=((corner[0] + MARGIN) * points, (corner[1] + MARGIN) * points),
        textcoords="offset points",
        color=label.colour,
        fontsize=10,
        va="bottom",
        arrowprops={
            "arrowstyle": "-",
            "color": label.colour,
            "alpha": 0.5,
            "linewidth": 0.7,
            "shrinkA": 1,
            "shrinkB": 5,
        },
    )
