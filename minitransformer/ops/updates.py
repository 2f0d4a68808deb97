"""One step of an optimizer, in place.

These steps are bound by memory, not by arithmetic. They walk through their arrays in chunks that
fit in a core's cache: each formula is then written as in the paper, and its temporaries do not grow
with the model.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from minitransformer.backend import op
from minitransformer.ops.checks import require_floats, require_shape
from minitransformer.ops.in_place import CHUNK, require_apart, require_state


def _chunks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Corresponding 1-D chunks of arrays of one shape; writing to a chunk writes to its array."""
    modes: Any = [["readwrite" if array.flags.writeable else "readonly"] for array in arrays]
    with np.nditer(
        arrays, ["external_loop", "buffered", "zerosize_ok"], modes, buffersize=CHUNK
    ) as chunks:
        yield from chunks


def _check_arrays(op: str, parameter: Any, grad: Any, **state: Any) -> None:
    require_floats(op, parameter=parameter, grad=grad, **state)
    require_state(op, parameter=parameter, **state)
    for name, array in {"parameter": parameter, **state}.items():
        require_shape(op, name, array, grad.shape, "the shape of grad")
        require_apart(op, name, array, "grad", grad)


def _check_range(op: str, name: str, value: float, below: float = math.inf) -> None:
    if not 0 <= value < below:
        raise ValueError(f"{op}: {name} is {value}, expected 0 <= {name} < {below}")


def _check_adamw_step(
    parameter: Any,
    grad: Any,
    m: Any,
    v: Any,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    name = "adamw_step"
    _check_arrays(name, parameter, grad, m=m, v=v)
    if not t >= 1:
        raise ValueError(f"{name}: t is {t}, expected the number of this step, counted from 1")
    _check_range(name, "lr", lr)
    _check_range(name, "beta1", beta1, below=1.0)
    _check_range(name, "beta2", beta2, below=1.0)
    _check_range(name, "eps", eps)
    _check_range(name, "weight_decay", weight_decay)


@op(_check_adamw_step)
def adamw_step(
    parameter: Float[np.ndarray, "..."],
    grad: Float[np.ndarray, "..."],
    m: Float[np.ndarray, "..."],
    v: Float[np.ndarray, "..."],
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Move against the gradient's running mean, measured in units of the gradient's running size.

    Parameters
    ----------
    parameter, grad, m, v
        Arrays of one shape and dtype. ``parameter`` and the moments ``m`` and ``v``, zero before
        the first step, are updated in place.
    t
        Number of this step, counted from 1.
    lr
        Learning rate.
    beta1, beta2
        Decay of the two running means, in [0, 1).
    eps
        Keeps the division from exploding where gradients are tiny.
    weight_decay
        Decoupled: it shrinks the parameter and stays out of the moments. 0 gives Adam.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If shapes differ, arrays share memory or are read-only, or a number is out of range.

    Notes
    -----
    ::

        p <- p (1 - lr weight_decay)
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    m and v start at 0: after t steps the weights of the gradients seen add up to ``1 - beta^t`` and
    not to 1, which is what the two divisors correct. eps is added after that correction, outside
    the root.

    References
    ----------
    Kingma and Ba (2015), Adam: A Method for Stochastic Optimization, arXiv:1412.6980.
    Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization, arXiv:1711.05101.
    """
    shrink = float(1 - lr * weight_decay)
    rate = float(lr / (1 - beta1**t))
    root_correction = math.sqrt(1 - beta2**t)
    for p, g, mean, mean_square in _chunks(parameter, grad, m, v):
        p *= shrink
        mean *= beta1
        mean += (1 - beta1) * g
        mean_square *= beta2
        mean_square += (1 - beta2) * g * g
        p -= rate * mean / (np.sqrt(mean_square) / root_correction + eps)


def _check_sgd_step(
    parameter: Any,
    grad: Any,
    velocity: Any,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    name = "sgd_step"
    _check_arrays(name, parameter, grad, velocity=velocity)
    _check_range(name, "lr", lr)
    _check_range(name, "momentum", momentum)
    _check_range(name, "weight_decay", weight_decay)
    if nesterov and momentum == 0:
        raise ValueError(f"{name}: momentum is 0, expected more than 0 with nesterov=True")


@op(_check_sgd_step)
def sgd_step(
    parameter: Float[np.ndarray, "..."],
    grad: Float[np.ndarray, "..."],
    velocity: Float[np.ndarray, "..."],
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Roll downhill: the gradient pushes a velocity, and the velocity moves the parameter.

    Parameters
    ----------
    parameter, grad, velocity
        Arrays of one shape and dtype. ``parameter`` and ``velocity``, zero before the first step,
        are updated in place.
    lr
        Learning rate.
    momentum
        Share of the velocity that survives a step; 0 is plain gradient descent.
    nesterov
        Move as if the velocity had already received the same push once more.
    weight_decay
        Strength of the penalty ``weight_decay |p|^2 / 2``, whose gradient is added to ``grad``.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If shapes differ, arrays share memory or are read-only, or a number is out of range.

    Notes
    -----
    ::

        g <- g + weight_decay p
        u <- momentum u + g
        p <- p - lr u                     or, with nesterov, p - lr (g + momentum u)

    References
    ----------
    Sutskever et al. (2013), On the importance of initialization and momentum in deep learning.
    """
    rate = float(lr)
    for p, g, u in _chunks(parameter, grad, velocity):
        push = g + weight_decay * p
        u *= momentum
        u += push
        p -= rate * (push + momentum * u if nesterov else u)
