"""All exercises, in the order of their units."""

from minitransformer.exercises.catalogue import (
    activations,
    adapting,
    attention,
    blocks,
    generation,
    kernels,
    linear,
    losses,
    measuring,
    norms,
    positions,
    softmax,
    text,
    training,
    write_the_test,
)
from minitransformer.exercises.exercise import Exercise

CATALOGUE: dict[str, Exercise] = {
    exercise.id: exercise
    for exercises in (
        softmax.EXERCISES,
        measuring.GRADIENT_CHECK,
        losses.EXERCISES,
        measuring.PERPLEXITY,
        linear.EXERCISES,
        activations.GELU,
        norms.LAYER_NORM,
        norms.RMS_NORM,
        activations.DROPOUT,
        positions.EXERCISES,
        attention.ATTENTION,
        attention.HEADS,
        blocks.EXERCISES,
        training.EXERCISES,
        text.EXERCISES,
        generation.EXERCISES,
        adapting.EXERCISES,
        kernels.EXERCISES,
        write_the_test.EXERCISES,
    )
    for exercise in exercises
}
"""Every exercise by its id."""


def units() -> dict[str, list[Exercise]]:
    """Exercises by unit, in order."""
    grouped: dict[str, list[Exercise]] = {}
    for exercise in CATALOGUE.values():
        grouped.setdefault(exercise.unit, []).append(exercise)
    return grouped
