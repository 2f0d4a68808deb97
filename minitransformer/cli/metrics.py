"""Metrics with their confidence intervals, as tables and as JSON."""

import math
from typing import Any

from rich.table import Table

from minitransformer.evaluation import Measure, Outcomes

OF = " of "
"""Stands between a metric and the label that it is about."""


def metrics_table(found: list[Measure], examples: int) -> Table:
    """A row for each metric of all examples together: its value and its confidence interval."""
    table = Table(f"{examples:,} examples", "", "95% from", "to")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, *numbers in found:
        if OF not in name:
            table.add_row(name, *map(_figure, numbers))
    return table


def label_table(found: list[Measure]) -> Table | None:
    """A row for each label, such as that of ``precision of dog``; None if there is none."""
    of_labels = [measure for measure in found if OF in measure.name]
    if not of_labels:
        return None
    scores = dict.fromkeys(measure.name.split(OF, 1)[0] for measure in of_labels)
    rows: dict[str, list[str]] = {}
    for measure in of_labels:
        rows.setdefault(measure.name.split(OF, 1)[1], []).append(interval(measure))
    table = Table("label", *scores)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, cells in rows.items():
        table.add_row(label, *cells)
    return table


def group_table(groups: dict[str, list[Measure]], outcomes: Outcomes) -> Table:
    """A row for each group; what concerns one label alone is in the JSON file."""
    names = [measure.name for measure in next(iter(groups.values())) if OF not in measure.name]
    table = Table("group", "examples", *names)
    for column in table.columns[1:]:
        column.justify = "right"
    for group, found in groups.items():
        cells = [interval(measure) for measure in found if measure.name in names]
        table.add_row(group, f"{list(outcomes.groups).count(group):,}", *cells)
    return table


def interval(measure: Measure) -> str:
    """A metric with its confidence interval, in one cell of a table."""
    value, low, high = map(_figure, measure[1:])
    return f"{value} ({low} to {high})"


def _figure(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def metrics_to_json(found: list[Measure]) -> dict[str, Any]:
    """By name; JSON has no infinity and no NaN, so null stands for them."""
    return {
        name: {
            key: number if math.isfinite(number) else None
            for key, number in zip(("value", "low", "high"), numbers, strict=True)
        }
        for name, *numbers in found
    }
