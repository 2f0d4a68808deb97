"""Root-mean-square normalisation."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_axes, require_floats, require_shape


class RMSNormCache(NamedTuple):
    """What RMS norm's backward needs."""

    xhat: np.ndarray  # (..., C), the normalised x
    rrms: np.ndarray  # (..., 1), 1 / sqrt(mean(x^2) + eps)
    gamma: np.ndarray  # (C,)


def _check(x: Any, gamma: Any, eps: float = 1e-6) -> None:
    require_floats("rms_norm", x=x, gamma=gamma)
    require_axes("rms_norm", "x", x, 1)
    require_shape("rms_norm", "gamma", gamma, x.shape[-1:], "x's last axis")


@op(_check)
def rms_norm_forward(
    x: Float[np.ndarray, "*leading C"], gamma: Float[np.ndarray, " C"], eps: float = 1e-6
) -> tuple[Float[np.ndarray, "*leading C"], RMSNormCache]:
    """Divide every position by its root mean square over the C features, then scale.

    Parameters
    ----------
    x : (..., C)
    gamma : (C,)
    eps
        Added to the mean square, inside the root.

    Returns
    -------
    y : (..., C)
    cache : RMSNormCache

    Raises
    ------
    ValueError
        If gamma does not have x's last axis.

    Notes
    -----
    Forward: ``xhat = x rrms`` with ``rrms = 1 / sqrt(mean(x^2) + eps)``, and ``y = gamma xhat``.

    Backward: let ``g = dy gamma``. x enters xhat directly, ``rrms g``, and through rrms:
    ``d rrms / dx = -rrms^2 xhat / C``, and rrms scales ``x = xhat / rrms``, which gives
    ``-rrms xhat mean(g xhat)``. Together ``dx = rrms (g - xhat mean(g xhat))``. There is no mean
    to subtract, so only the component along xhat goes.

    References
    ----------
    Zhang, Sennrich (2019), Root Mean Square Layer Normalization, arXiv:1910.07467.
    """
    rrms = 1.0 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + float(eps))
    xhat = x * rrms
    y = xhat * gamma
    return y, RMSNormCache(xhat, rrms, gamma)


@op(check_gradient("rms_norm", lambda cache: (cache.xhat.shape, cache.xhat.dtype)))
def rms_norm_backward(
    dy: Float[np.ndarray, "*leading C"], cache: RMSNormCache
) -> tuple[Float[np.ndarray, "*leading C"], Float[np.ndarray, " C"]]:
    """Gradients ``(dx, dgamma)`` of :func:`rms_norm_forward`."""
    xhat, rrms, gamma = cache
    # y = xhat * gamma
    dgamma = (dy * xhat).reshape(-1, dy.shape[-1]).sum(axis=0)
    dxhat = dy * gamma
    # xhat = x * rrms
    along_xhat = (dxhat * xhat).mean(axis=-1, keepdims=True)
    dx = rrms * (dxhat - xhat * along_xhat)
    return dx, dgamma
