"""Mistakes in the label smoothing of cross-entropy, forward and backward."""

from minitransformer import ops
from minitransformer.testing.mutants.base import Mutant

FORWARD, BACKWARD = ops.cross_entropy_forward, ops.cross_entropy_backward

_EVEN = "even = -log_probs.mean(axis=-1, keepdims=True)"
_MIXED = "surprise = (1.0 - label_smoothing) * surprise + label_smoothing * even"
_ROWS = "rows = probs - label_smoothing / V"
_TARGET = "rows[np.arange(N), targets] -= 1.0 - label_smoothing"

MUTANTS = (
    Mutant(
        "smoothing_ignored",
        FORWARD,
        {_MIXED: "pass"},
        "Label smoothing is training's affair.",
        "It is an argument: it changes the target distribution.",
    ),
    Mutant(
        "smoothing_weights_swapped",
        FORWARD,
        {_MIXED: "surprise = label_smoothing * surprise + (1.0 - label_smoothing) * even"},
        "The smoothing is the share of the target.",
        "It is the share that is spread over all classes; a smoothing of 0 is plain cross-entropy.",
    ),
    Mutant(
        "smoothing_keeps_the_whole_target",
        FORWARD,
        {_MIXED: "surprise = surprise + label_smoothing * even"},
        "Smoothing is a term added to the loss.",
        "The target distribution must still sum to 1.",
    ),
    Mutant(
        "smoothing_leaves_out_the_target",
        FORWARD,
        {
            _EVEN: "even = -(log_probs.sum(axis=-1, keepdims=True) + surprise)"
            " / max(1, log_probs.shape[-1] - 1)"
        },
        "Smoothing gives the other V - 1 classes a share.",
        "The share is spread over all V classes, and the target is one of them.",
    ),
    Mutant(
        "smoothing_target_gets_no_share",
        FORWARD,
        {_EVEN: "even = -(log_probs.sum(axis=-1, keepdims=True) + surprise) / log_probs.shape[-1]"},
        "The target has 1 - eps, and each other class eps / V.",
        "What do these sum to? The share is spread over all V classes, the target included.",
    ),
    Mutant(
        "smoothing_not_divided_by_classes",
        FORWARD,
        {_EVEN: "even = -log_probs.sum(axis=-1, keepdims=True)"},
        "Each class gets the smoothing.",
        "All classes share it: eps / V each.",
    ),
    Mutant(
        "smoothing_of_the_loss",
        FORWARD,
        {_MIXED: "surprise = (1.0 - label_smoothing) * surprise"},
        "Smoothing takes a share from the target.",
        "And gives it to all classes: where is that term?",
    ),
    Mutant(
        "smoothing_forgotten_backward",
        BACKWARD,
        {_ROWS: "rows = probs.copy()", _TARGET: "rows[np.arange(N), targets] -= 1.0"},
        "The gradient is softmax minus one-hot.",
        "With smoothing the target distribution is no longer one-hot.",
    ),
    Mutant(
        "smoothing_leaves_the_one_hot",
        BACKWARD,
        {_TARGET: "rows[np.arange(N), targets] -= 1.0"},
        "Smoothing subtracts a share from every class, and the target is subtracted whole.",
        "The target distribution must sum to 1: what is left for the target?",
    ),
    Mutant(
        "smoothing_of_the_target_alone",
        BACKWARD,
        {_ROWS: "rows = probs.copy()"},
        "Smoothing only makes the target smaller.",
        "What the target loses, all classes share: subtract that too.",
    ),
    Mutant(
        "smoothing_leaves_out_the_target_backward",
        BACKWARD,
        {
            _ROWS: "rows = probs - label_smoothing / max(1, V - 1)",
            _TARGET: "rows[np.arange(N), targets] -= 1.0 - label_smoothing * V / max(1, V - 1)",
        },
        "Smoothing gives the other V - 1 classes a share.",
        "The share is spread over all V classes, and the target is one of them.",
    ),
    Mutant(
        "smoothing_not_divided_by_classes_backward",
        BACKWARD,
        {_ROWS: "rows = probs - label_smoothing"},
        "Each class gets the smoothing.",
        "All classes share it: eps / V each.",
    ),
    Mutant(
        "smoothing_weights_swapped_backward",
        BACKWARD,
        {
            _ROWS: "rows = probs - (1.0 - label_smoothing) / V",
            _TARGET: "rows[np.arange(N), targets] -= label_smoothing",
        },
        "The smoothing is the share of the target.",
        "It is the share that is spread over all classes; a smoothing of 0 is plain cross-entropy.",
    ),
)
