"""Look inside: run an op line by line, see every array, every cache, every gradient.

Everything here returns data that draws itself in a notebook, as HTML with inline pictures, and
prints itself as text elsewhere.
"""

from minitransformer.show.caches import attention, memory, tree
from minitransformer.show.chart import curves
from minitransformer.show.gradients import (
    gradcheck_curve,
    gradient_flow,
    loss_landscape,
    sizes_along_depth,
)
from minitransformer.show.heatmap import heatmap
from minitransformer.show.html import Picture
from minitransformer.show.sources import pair
from minitransformer.show.steps import Steps, step_through
from minitransformer.show.trace import Trace, TraceStep, Value

__all__ = [
    "Picture",
    "Steps",
    "Trace",
    "TraceStep",
    "Value",
    "attention",
    "curves",
    "gradcheck_curve",
    "gradient_flow",
    "heatmap",
    "loss_landscape",
    "memory",
    "pair",
    "sizes_along_depth",
    "step_through",
    "tree",
]
