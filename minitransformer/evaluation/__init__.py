"""How good a model is, in the metrics of the field, and how sure that is."""

from minitransformer.evaluation.labels import Labels
from minitransformer.evaluation.loss import (
    Losses,
    Surprise,
    losses,
    losses_by_group,
    mean_loss,
    perplexity,
    surprise,
)
from minitransformer.evaluation.numbers import Numbers, Preferences
from minitransformer.evaluation.outcomes import Measure, Outcomes, measures, measures_by_group
from minitransformer.evaluation.stopping import has_stalled
from minitransformer.evaluation.texts import Texts
from minitransformer.evaluation.together import Together

__all__ = [
    "Labels",
    "Losses",
    "Measure",
    "Numbers",
    "Outcomes",
    "Preferences",
    "Surprise",
    "Texts",
    "Together",
    "has_stalled",
    "losses",
    "losses_by_group",
    "mean_loss",
    "measures",
    "measures_by_group",
    "perplexity",
    "surprise",
]
