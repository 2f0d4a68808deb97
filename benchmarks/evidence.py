"""What a contestant shows before it is timed, and the judge of it."""

from collections.abc import Mapping

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Evidence = Mapping[str, Array]
"""Results by name: losses, gradients, logits, tokens."""


def disagreements(given: Evidence, reference: Evidence, tolerance: float) -> list[str]:
    """Everything in which a contestant's results differ from the reference.

    Parameters
    ----------
    given
        The contestant's results.
    reference
        What they should be; it alone says which are compared.
    tolerance
        Greatest relative error of an array of floats, in the Euclidean norm. Integers are equal.
    """
    found = []
    for name, expected in reference.items():
        if name not in given:
            found.append(f"{name} is missing")
        elif given[name].shape != expected.shape:
            found.append(f"{name} has shape {given[name].shape}, expected {expected.shape}")
        elif not (error := relative_error(given[name], expected)) <= tolerance:
            found.append(f"{name} is off by {error:.1e}, tolerance {tolerance:.0e}")
    return found


def relative_error(given: Array, expected: Array) -> float:
    """Length of the difference over the length of what is expected; infinite for unequal integers.

    NaN wherever NaN is given.
    """
    if expected.dtype.kind in "iu":
        return 0.0 if np.array_equal(given, expected) else float("inf")
    difference = np.linalg.norm(np.float64(given) - np.float64(expected))
    length = np.linalg.norm(np.float64(expected))
    return float(difference / length) if length else float(difference)
