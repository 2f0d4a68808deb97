"""SwiGLU: one linear map of the input gates another."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_floats, require_shape


class SwigluCache(NamedTuple):
    """What SwiGLU's backward needs."""

    gate: np.ndarray
    up: np.ndarray  # the shape of gate
    sigmoid: np.ndarray  # the shape of gate


def _check(gate: Any, up: Any) -> None:
    require_floats("swiglu", gate=gate, up=up)
    require_shape("swiglu", "up", up, gate.shape, "the shape of gate")


@op(_check)
def swiglu_forward(
    gate: Float[np.ndarray, "*shape"], up: Float[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, "*shape"], SwigluCache]:
    """Let each number of ``up`` through as far as the SiLU of ``gate`` says.

    Parameters
    ----------
    gate : any shape
    up : the shape of gate

    Returns
    -------
    y : the shape of gate
    cache : SwigluCache

    Raises
    ------
    TypeError
        If the arrays are not both float32 or both float64.
    ValueError
        If their shapes differ.

    Notes
    -----
    Forward: ``y = g s u`` for gate g and up u, with ``s = 1 / (1 + exp(-g))``, computed as
    ``exp(-log(1 + exp(-g)))``, which does not overflow.

    Backward: y is linear in u, so ``du = dy g s``. With ``ds/dg = s (1 - s)`` the product rule
    gives ``dg = dy u (s + g s (1 - s))``.

    References
    ----------
    Shazeer (2020), GLU Variants Improve Transformer, arXiv:2002.05202.
    """
    sigmoid = np.exp(-np.logaddexp(0.0, -gate))
    y = gate * sigmoid * up
    return y, SwigluCache(gate, up, sigmoid)


@op(check_gradient("swiglu", lambda cache: (cache.gate.shape, cache.gate.dtype)))
def swiglu_backward(
    dy: Float[np.ndarray, "*shape"], cache: SwigluCache
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Gradients ``(dgate, dup)`` of :func:`swiglu_forward`."""
    gate, up, sigmoid = cache
    # y = gate * sigmoid * up
    dup = dy * gate * sigmoid
    # sigmoid = 1 / (1 + exp(-gate))
    dgate = dy * up * (sigmoid + gate * sigmoid * (1.0 - sigmoid))
    return dgate, dup
