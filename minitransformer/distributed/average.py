"""The mathematics of data-parallel training: averaging what the workers found."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from minitransformer.ops.checks import require_floats, require_shape


def average_gradients(
    gradients: Sequence[Float[np.ndarray, " N"]], counts: Sequence[int]
) -> Float[np.ndarray, " N"]:
    """Average the workers' gradients as if one worker had seen the whole batch.

    Parameters
    ----------
    gradients : sequence of (N,)
        One for each worker: the flat gradient of its mean loss.
    counts : sequence of int
        Number of targets in each of these means.

    Returns
    -------
    (N,)
        A new array; 0 if there is no target at all.

    Raises
    ------
    TypeError
        If the gradients are not all float32 or all float64.
    ValueError
        If shapes differ, there is not one count for each gradient, or a count is negative.

    Notes
    -----
    ``sum(count gradient) / sum(count)``: two sums over workers, which is what an all-reduce gives.
    Without the counts a target in a short part would weigh more than one in a long part.

    References
    ----------
    Goyal et al. (2017), Accurate, Large Minibatch SGD, section 3, arXiv:1706.02677.
    """
    if not gradients or len(gradients) != len(counts):
        raise ValueError(
            f"average_gradients: got {len(gradients)} gradients and {len(counts)} counts, "
            "expected one of each for every worker"
        )
    if min(counts) < 0:
        raise ValueError(f"average_gradients: counts is {counts}, expected 0 or more")
    require_floats("average_gradients", **{f"gradients[{i}]": g for i, g in enumerate(gradients)})
    for i, gradient in enumerate(gradients):
        shape = gradients[0].shape
        require_shape("average_gradients", f"gradients[{i}]", gradient, shape, "as of gradients[0]")
    total = np.zeros_like(gradients[0])
    for gradient, count in zip(gradients, counts, strict=True):
        total += gradient * float(count)
    return total / float(max(sum(counts), 1))
