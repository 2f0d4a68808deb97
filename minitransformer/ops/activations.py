"""Elementwise nonlinearities: ReLU, tanh, SiLU and GELU."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import check_gradient, require_floats

_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
_TANH_CUBIC = 0.044715
_erf = np.vectorize(math.erf, otypes=[np.float64])


class ReluCache(NamedTuple):
    """What ReLU's backward needs."""

    x: np.ndarray


class TanhCache(NamedTuple):
    """What tanh's backward needs."""

    y: np.ndarray


class SiluCache(NamedTuple):
    """What SiLU's backward needs."""

    x: np.ndarray
    sigmoid: np.ndarray  # the shape of x


class GeluCache(NamedTuple):
    """What GELU's backward needs."""

    x: np.ndarray
    inner: np.ndarray  # the shape of x: the tanh ("tanh") or the erf ("none")
    approximate: str


def _check_relu(x: Any) -> None:
    require_floats("relu", x=x)


def _check_tanh(x: Any) -> None:
    require_floats("tanh", x=x)


def _check_silu(x: Any) -> None:
    require_floats("silu", x=x)


def _check_gelu(x: Any, approximate: str = "tanh") -> None:
    require_floats("gelu", x=x)
    if approximate not in ("tanh", "none"):
        raise ValueError(f'gelu: approximate is {approximate!r}, expected "tanh" or "none"')


def _like_x(cache: Any) -> tuple[tuple[int, ...], Any]:
    return cache.x.shape, cache.x.dtype


@op(_check_relu)
def relu_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], ReluCache]:
    """Keep what is positive, zero the rest.

    Parameters
    ----------
    x : any shape

    Returns
    -------
    y : the shape of x
    cache : ReluCache

    Notes
    -----
    Forward: ``y = max(x, 0)``.

    Backward: the slope is 1 above 0 and 0 below; at 0 itself we take 0.
    """
    y = np.maximum(x, 0.0)
    return y, ReluCache(x)


@op(check_gradient("relu", _like_x))
def relu_backward(
    dy: Float[np.ndarray, "*shape"], cache: ReluCache
) -> tuple[Float[np.ndarray, "*shape"]]:
    """Gradient ``(dx,)`` of :func:`relu_forward`."""
    # y = max(x, 0)
    dx = np.where(cache.x > 0.0, dy, 0.0)
    return (dx,)


@op(_check_tanh)
def tanh_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], TanhCache]:
    """Squeeze x into the interval from -1 to 1.

    Parameters
    ----------
    x : any shape

    Returns
    -------
    y : the shape of x
    cache : TanhCache

    Notes
    -----
    Forward: ``y = tanh(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    Backward: by the quotient rule ``dy/dx = 1 - y^2``, so y is all that needs to be kept. Far from
    0 the slope vanishes, and the gradient with it.
    """
    y = np.tanh(x)
    return y, TanhCache(y)


@op(check_gradient("tanh", lambda cache: (cache.y.shape, cache.y.dtype)))
def tanh_backward(
    dy: Float[np.ndarray, "*shape"], cache: TanhCache
) -> tuple[Float[np.ndarray, "*shape"]]:
    """Gradient ``(dx,)`` of :func:`tanh_forward`."""
    (y,) = cache
    # y = tanh(x)
    dx = dy * (1.0 - y * y)
    return (dx,)


@op(_check_silu)
def silu_forward(x: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], SiluCache]:
    """Gate x by its own sigmoid; also called swish.

    Parameters
    ----------
    x : any shape

    Returns
    -------
    y : the shape of x
    cache : SiluCache

    Notes
    -----
    Forward: ``y = x s`` with ``s = 1 / (1 + exp(-x))``, computed as ``exp(-log(1 + exp(-x)))``,
    which does not overflow.

    Backward: ``ds/dx = s (1 - s)``, so by the product rule ``dx = dy (s + x s (1 - s))``.

    References
    ----------
    Elfwing, Uchibe, Doya (2017), Sigmoid-Weighted Linear Units, arXiv:1702.03118.
    """
    sigmoid = np.exp(-np.logaddexp(0.0, -x))
    y = x * sigmoid
    return y, SiluCache(x, sigmoid)


@op(check_gradient("silu", _like_x))
def silu_backward(
    dy: Float[np.ndarray, "*shape"], cache: SiluCache
) -> tuple[Float[np.ndarray, "*shape"]]:
    """Gradient ``(dx,)`` of :func:`silu_forward`."""
    x, sigmoid = cache
    # y = x * sigmoid
    dx = dy * (sigmoid + x * sigmoid * (1.0 - sigmoid))
    return (dx,)


@op(_check_gelu)
def gelu_forward(
    x: Float[np.ndarray, "*shape"], approximate: Literal["tanh", "none"] = "tanh"
) -> tuple[Float[np.ndarray, "*shape"], GeluCache]:
    """Weight x by the probability that a standard normal variable lies below it.

    Parameters
    ----------
    x : any shape
    approximate
        ``"tanh"`` as in GPT-2, or ``"none"`` for the exact form with erf, as in BERT.

    Returns
    -------
    y : the shape of x
    cache : GeluCache

    Raises
    ------
    ValueError
        If ``approximate`` is neither.

    Notes
    -----
    Forward: ``y = x Phi(x)``, ``Phi(x) = (1 + r) / 2``, with ``r = erf(x / sqrt(2))``, or
    approximately ``r = tanh(sqrt(2/pi) (x + 0.044715 x^3))``.

    Backward: ``dx = dy (Phi(x) + x r'(x) / 2)``. For erf, ``r' = 2 phi(x)`` with the normal density
    ``phi(x) = exp(-x^2 / 2) / sqrt(2 pi)``; for tanh, ``r' = (1 - r^2) sqrt(2/pi)
    (1 + 3 0.044715 x^2)``. Each form needs its own: the other's is wrong in the third digit.

    References
    ----------
    Hendrycks, Gimpel (2016), Gaussian Error Linear Units, arXiv:1606.08415.
    """
    if approximate == "tanh":
        inner = np.tanh(_SQRT_2_OVER_PI * x * (1.0 + _TANH_CUBIC * x * x))
    else:
        inner = _erf(x * math.sqrt(0.5)).astype(x.dtype)
    y = 0.5 * x * (1.0 + inner)
    return y, GeluCache(x, inner, approximate)


@op(check_gradient("gelu", _like_x))
def gelu_backward(
    dy: Float[np.ndarray, "*shape"], cache: GeluCache
) -> tuple[Float[np.ndarray, "*shape"]]:
    """Gradient ``(dx,)`` of :func:`gelu_forward`."""
    x, inner, approximate = cache
    # inner = tanh(...) or erf(x / sqrt(2))
    if approximate == "tanh":
        slope = (1.0 - inner * inner) * (_SQRT_2_OVER_PI * (1.0 + 3.0 * _TANH_CUBIC * x * x))
    else:
        slope = _SQRT_2_OVER_PI * np.exp(-0.5 * x * x)
    # y = 0.5 * x * (1 + inner)
    dx = dy * 0.5 * (1.0 + inner + x * slope)
    return (dx,)
