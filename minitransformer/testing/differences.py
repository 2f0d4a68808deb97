"""Finite differences: what the function itself says about its derivative.

Everything here looks at ``forward`` alone, never at the gradient on trial.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minitransformer.ops.checks import require_floats
from minitransformer.testing.trees import as_parts, map_parts

Vector = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

EPSILON = sys.float_info.epsilon
STEP = EPSILON ** (1 / 5)
HALVINGS = 12
AGREEMENT = 1e-10
RESOLUTION = 1e-5
ZERO = 1e-10


def flatten(y: Any) -> Vector:
    """Lay all entries of a result in one vector."""
    return np.concatenate([np.ravel(part) for part in as_parts(y)])


def random_like(array: Any, rng: np.random.Generator) -> Any:
    """Draw entries of size 0.5 to 1.5 and either sign.

    No entry is near zero, where it would hide a mistake, and none is exactly one, which would hide
    a forgotten factor.
    """
    shape = np.shape(array)
    drawn = rng.uniform(0.5, 1.5, shape) * rng.choice((-1.0, 1.0), shape)
    return drawn if shape else np.float64(drawn)


def cotangent(y: Any, rng: np.random.Generator) -> Any:
    """Draw a random dy of the same structure as y; for a scalar y it is a scalar."""
    return map_parts(lambda part: random_like(part, rng), y)


def length_scale(x: Vector) -> float:
    """Guess over which distance f changes: the size of x, at most 1 (scores of 1000 act by 1s)."""
    return min(1.0, math.sqrt(np.mean(x * x))) or 1.0


def derivative(path: Callable[[float], Vector], step: float, noise: float) -> Vector:
    """Differentiate a curve at t = 0 to about ten digits.

    Parameters
    ----------
    path : callable
        The curve: a number t -> a vector.
    step : float
        The first and largest distance h.
    noise : float
        Size of the rounding error of one value of ``path``.

    Notes
    -----
    The central difference ``C(h) = (f(h) - f(-h)) / 2h`` is wrong by ``h^2 f''' / 6``. The same at
    ``2h`` is wrong by four times as much, so ``(4 C(h) - C(2h)) / 3`` cancels this error and leaves
    ``h^4 f^(5) / 30``. Against it stands the rounding error ``epsilon |f| / h``. The two balance at
    ``h ~ epsilon^(1/5)``, 7e-4 in float64, with an error of ``epsilon^(4/5)``, 3e-13; for the plain
    central difference it is ``epsilon^(1/3)`` and 4e-11.

    A steep f or a kink (ReLU) between the points spoils the estimate. Hence h is halved until two
    estimates in a row agree; if none do, the closest pair wins. Each halving reuses one C.
    """
    coarse, fine = _central(path, 2 * step), _central(path, step)
    estimate = best = (4 * fine - coarse) / 3
    smallest_gap = math.inf
    for _ in range(HALVINGS):
        step /= 2
        coarse, fine = fine, _central(path, step)
        previous, estimate = estimate, (4 * fine - coarse) / 3
        gap = float(np.linalg.norm(estimate - previous))
        if gap < smallest_gap:
            best, smallest_gap = estimate, gap
        if gap <= AGREEMENT * np.linalg.norm(estimate) + 8 * noise / step:
            break
    return best


def central_difference(function: Callable[[Vector], float], x: Floats, h: float = 1e-5) -> Floats:
    """Ask a function for its gradient, one entry of x after the other.

    The plain method, to check a gradient by hand; :func:`derivative` gets more digits.

    Parameters
    ----------
    function : callable
        An array of float64 in the shape of x -> a number. It must not write to its argument.
    x : ndarray of floats
        Where to differentiate; left as it is.
    h : float
        Distance to either side.

    Returns
    -------
    ndarray, shape and dtype of x
        ``(function(x + h e) - function(x - h e)) / 2h`` for the unit vector e of every entry.

    Raises
    ------
    TypeError
        If x is not float32 or float64.
    ValueError
        If h is not positive.

    Notes
    -----
    In ``f(x + h) - f(x - h) = 2h f' + h^3 f^(3) / 3 + ...`` the even terms cancel: the error is
    ``h^2 f^(3) / 6``. A difference to one side only would be wrong by ``h f^(2) / 2``.
    """
    require_floats("central_difference", x=x)
    if not h > 0:
        raise ValueError(f"central_difference: h is {h}, expected more than 0")
    gradient = np.empty_like(x)
    moved = x.astype(np.float64)
    for i in np.ndindex(x.shape):
        center = moved[i]
        moved[i] = center + h
        above = function(moved)
        moved[i] = center - h
        below = function(moved)
        moved[i] = center
        gradient[i] = (above - below) / (2 * h)
    return gradient


def _central(path: Callable[[float], Vector], h: float) -> Vector:
    return (path(h) - path(-h)) / (2 * h)


@dataclass(frozen=True)
class Measurement:
    """What finite differences say about one argument x of ``y = f(x)``, for one cotangent dy.

    Attributes
    ----------
    numeric : ndarray, shape of x
        The gradient of ``<dy, f(x)>``, entry by entry; NaN where an entry was not sampled.
    direction : ndarray, shape of x
        A random direction v.
    slope : float
        ``<dy, J v>``, where ``J v`` is the derivative of f along v.
    image_norm : float
        ``|J v|``.
    floor : float
        Smaller gradients are not resolved: the relative error counts from here.
    is_zero : bool
        Whether f does not depend on x at all, as far as float64 can see.
    """

    numeric: Vector
    direction: Vector
    slope: float
    image_norm: float
    floor: float
    is_zero: bool

    def error(self, analytic: Vector) -> float:
        """Return the worst relative error of a gradient, inf if its shape is wrong."""
        if analytic.shape != self.numeric.shape:
            return math.inf
        worst_entry = float(np.nanmax(self.entry_errors(analytic), initial=0.0))
        return max(self.direction_error(analytic), worst_entry)

    def direction_error(self, analytic: Vector) -> float:
        """Return the relative error of the adjoint law ``<dy, J v> == <backward(dy), v>``.

        The inner products may be near zero by chance although both vectors are long, so the
        error is not measured against them. For random v the inner product ``<g, v>`` has a
        standard deviation of about ``|g|``, and for random dy ``<dy, Jv>`` one of about ``|Jv|``:
        these are the scale.
        """
        scale = max(float(np.linalg.norm(analytic)), self.image_norm, self.floor)
        return abs(float(np.vdot(analytic, self.direction)) - self.slope) / scale

    def entry_errors(self, analytic: Vector) -> Vector:
        """Return the error of each entry, relative to the largest entry of the true gradient."""
        largest = float(np.nanmax(np.abs(self.numeric), initial=0.0))
        errors: Vector = np.abs(analytic - self.numeric) / max(largest, self.floor)
        return errors


def measure(
    function: Callable[[Vector], Vector],
    x: Vector,
    dy: Vector,
    rng: np.random.Generator,
    elements: int,
) -> Measurement:
    """Measure the gradient of ``<dy, function(x)>`` along a random direction and entry by entry.

    Parameters
    ----------
    function : callable
        x -> y as a vector. It is given a fresh array at every call.
    x : ndarray of float64
        Where to differentiate.
    dy : ndarray, 1-D
        The cotangent.
    rng : Generator
        Draws the direction, and the sample of entries when x has more than ``elements``.
    elements : int
        At most so many entries are differentiated one by one.
    """
    size = float(np.linalg.norm(function(x.copy())))
    scale = length_scale(x) if x.size else 1.0

    def slope_along(v: Vector) -> Vector:
        return derivative(lambda t: function(x + t * v), STEP * scale, EPSILON * size)

    direction = random_like(x, rng)
    image = slope_along(direction)
    numeric = np.full(x.shape, np.nan)
    for flat in rng.permutation(x.size)[:elements]:
        unit = np.zeros(x.shape)
        unit.flat[flat] = 1.0
        numeric.flat[flat] = dy @ slope_along(unit)

    image_norm = float(np.linalg.norm(image))
    largest = max(image_norm, float(np.nanmax(np.abs(numeric), initial=0.0)))
    return Measurement(
        numeric=numeric,
        direction=direction,
        slope=float(dy @ image),
        image_norm=image_norm,
        floor=max(RESOLUTION * size / scale, math.sqrt(sys.float_info.min)),
        is_zero=largest * scale <= ZERO * size,
    )
