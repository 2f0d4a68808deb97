"""Look inside: run an op line by line, see every array, every cache, every gradient.

Everything here returns data that draws itself in a notebook, as HTML with inline pictures, and
prints itself as text elsewhere.
"""

from minitransformer.show.caches import attention, attention_probs, memory, tree
from minitransformer.show.chart import curves
from minitransformer.show.gradients import (
    gradcheck_curve,
    gradient_flow,
    loss_landscape,
    sizes_along_depth,
)
from minitransformer.show.heads import HeadImportance, ablated, head_gates, head_importance
from minitransformer.show.heatmap import heatmap
from minitransformer.show.html import Picture
from minitransformer.show.lens import logit_lens, logits_along_depth
from minitransformer.show.sources import pair, source
from minitransformer.show.steps import Steps, step_through
from minitransformer.show.trace import Trace, TraceStep, Value
from minitransformer.show.words import token_probabilities, tokens

__all__ = [
    "HeadImportance",
    "Picture",
    "Steps",
    "Trace",
    "TraceStep",
    "Value",
    "ablated",
    "attention",
    "attention_probs",
    "curves",
    "gradcheck_curve",
    "gradient_flow",
    "head_gates",
    "head_importance",
    "heatmap",
    "logit_lens",
    "logits_along_depth",
    "loss_landscape",
    "memory",
    "pair",
    "sizes_along_depth",
    "source",
    "step_through",
    "token_probabilities",
    "tokens",
    "tree",
]
