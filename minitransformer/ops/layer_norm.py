"""Layer normalisation."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_axes, require_floats, require_shape


class LayerNormCache(NamedTuple):
    """What layer norm's backward needs."""

    xhat: np.ndarray  # (..., C), the normalised x
    rstd: np.ndarray  # (..., 1), 1 / sqrt(variance + eps)
    gamma: np.ndarray  # (C,)


def _check(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> None:
    require_floats("layer_norm", x=x, gamma=gamma, beta=beta)
    require_axes("layer_norm", "x", x, 1)
    require_shape("layer_norm", "gamma", gamma, x.shape[-1:], "x's last axis")
    require_shape("layer_norm", "beta", beta, x.shape[-1:], "x's last axis")


@op(_check)
def layer_norm_forward(
    x: Float[np.ndarray, "*leading C"],
    gamma: Float[np.ndarray, " C"],
    beta: Float[np.ndarray, " C"],
    eps: float = 1e-5,
) -> tuple[Float[np.ndarray, "*leading C"], LayerNormCache]:
    """Give every position mean 0 and variance 1 over its C features, then scale and shift.

    Parameters
    ----------
    x : (..., C)
    gamma, beta : (C,)
    eps
        Added to the variance, inside the root.

    Returns
    -------
    y : (..., C)
    cache : LayerNormCache

    Raises
    ------
    ValueError
        If gamma or beta do not have x's last axis.

    Notes
    -----
    Forward: ``xhat = (x - mean(x)) rstd`` with ``rstd = 1 / sqrt(var(x) + eps)``, and
    ``y = gamma xhat + beta``. The variance divides by C.

    Backward: let ``g = dy gamma`` be the gradient at xhat. x enters xhat in three ways: directly,
    through the mean, and through rstd. Directly: ``rstd g``. Through the mean, which every feature
    subtracts: ``-rstd mean(g)``. Through rstd: ``d rstd / dx = -rstd^2 xhat / C``, and rstd scales
    ``x - mean = xhat / rstd``, which gives ``-rstd xhat mean(g xhat)``. Together
    ``dx = rstd (g - mean(g) - xhat mean(g xhat))``: g without its components along 1 and xhat,
    the two directions in which moving x cannot move xhat (but for eps).

    References
    ----------
    Ba, Kiros, Hinton (2016), Layer Normalization, arXiv:1607.06450.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    rstd = 1.0 / np.sqrt(variance + float(eps))
    xhat = centred * rstd
    y = xhat * gamma + beta
    return y, LayerNormCache(xhat, rstd, gamma)


@op(check_gradient("layer_norm", lambda cache: (cache.xhat.shape, cache.xhat.dtype)))
def layer_norm_backward(
    dy: Float[np.ndarray, "*leading C"], cache: LayerNormCache
) -> tuple[Float[np.ndarray, "*leading C"], Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Gradients ``(dx, dgamma, dbeta)`` of :func:`layer_norm_forward`."""
    xhat, rstd, gamma = cache
    rows = (-1, dy.shape[-1])
    # y = xhat * gamma + beta
    dbeta = dy.reshape(rows).sum(axis=0)
    dgamma = (dy * xhat).reshape(rows).sum(axis=0)
    dxhat = dy * gamma
    # xhat = (x - mean) * rstd
    along_one = dxhat.mean(axis=-1, keepdims=True)
    along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
    dx = rstd * (dxhat - along_one - xhat * along_xhat)
    return dx, dgamma, dbeta
