"""Mean squared error."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_scalar_gradient, require_floats, require_shape


class MseCache(NamedTuple):
    """What mse's backward needs."""

    difference: np.ndarray  # prediction - target


def _check(prediction: Any, target: Any) -> None:
    require_floats("mse", prediction=prediction, target=target)
    require_shape("mse", "target", target, prediction.shape, "the shape of prediction")
    if prediction.size == 0:
        raise ValueError(f"mse: prediction has shape {prediction.shape}, expected an element")


@op(_check)
def mse_forward(
    prediction: Float[np.ndarray, "*shape"], target: Float[np.ndarray, "*shape"]
) -> tuple[Any, MseCache]:
    """Mean of the squared differences over all elements.

    Parameters
    ----------
    prediction, target : the same shape

    Returns
    -------
    loss : scalar of the arguments' dtype
    cache : MseCache

    Raises
    ------
    ValueError
        If the shapes differ or there are no elements.

    Notes
    -----
    Forward: ``loss = sum((prediction - target)^2) / n``.

    Backward: the square's slope is twice its base:
    ``dprediction = dy 2 (prediction - target) / n``, and ``dtarget = -dprediction``.
    """
    difference = prediction - target
    loss = (difference * difference).mean()
    return loss, MseCache(difference)


@op(check_scalar_gradient("mse"))
def mse_backward(
    dy: Any, cache: MseCache
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Gradients ``(dprediction, dtarget)`` of :func:`mse_forward`; dy is any real scalar."""
    (difference,) = cache
    # loss = mean(difference^2)
    dprediction = difference * (float(dy) * 2.0 / difference.size)
    return dprediction, -dprediction
