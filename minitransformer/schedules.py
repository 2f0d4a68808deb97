"""Learning-rate schedules: plain functions from the step's index to the learning rate."""

import math

from minitransformer.backend import op


def _require_step(step: float) -> None:
    if not step >= 0:
        raise ValueError(f"step is {step}, expected 0 or more")


def _require_rate(name: str, rate: float) -> None:
    if not 0 <= rate < math.inf:
        raise ValueError(f"{name} is {rate}, expected a finite number, 0 or more")


def constant(step: float, peak: float) -> float:
    """The same learning rate at every step.

    Raises
    ------
    ValueError
        If ``step`` or ``peak`` is negative or not a number.
    """
    _require_step(step)
    _require_rate("peak", peak)
    return peak


@op(composed=True)
def warmup_cosine(
    step: float, peak: float, warmup: float, total: float, floor: float = 0.0
) -> float:
    """Climb in a straight line, then glide down half a cosine wave.

    Parameters
    ----------
    step
        Index of the step, from 0.
    peak
        Highest learning rate, reached at ``step == warmup``.
    warmup
        Length of the climb from 0, in steps; 0 starts at the peak.
    total
        Step at which the floor is reached.
    floor
        Learning rate at ``total`` and ever after.

    Returns
    -------
    float
        Learning rate of this step.

    Raises
    ------
    ValueError
        Unless ``step >= 0``, ``0 <= warmup < total`` and ``0 <= floor <= peak``.

    Notes
    -----
    ``peak step / warmup`` during the climb, then ``h peak + (1 - h) floor`` with the height
    ``h = (1 + cos(pi x)) / 2`` and ``x = (step - warmup) / (total - warmup)``, the share of the
    descent that is done.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: Stochastic Gradient Descent with Warm Restarts,
    arXiv:1608.03983.
    """
    _require_step(step)
    _require_rate("peak", peak)
    if not 0 <= warmup < total:
        raise ValueError(f"warmup is {warmup} and total is {total}, expected 0 <= warmup < total")
    if not 0 <= floor <= peak:
        raise ValueError(f"floor is {floor} and peak is {peak}, expected 0 <= floor <= peak")
    if step < warmup:
        return peak * step / warmup
    progress = min((step - warmup) / (total - warmup), 1.0)
    height = (1 + math.cos(math.pi * progress)) / 2
    return height * peak + (1 - height) * floor


def warmup_inverse_sqrt(step: float, width: int, warmup: float, factor: float = 1.0) -> float:
    """The transformer paper's own schedule: a straight climb, then one over the root of time.

    Parameters
    ----------
    step
        Index of the step; at 0 the rate is 0.
    width
        Width of the model, C: wider models get smaller steps.
    warmup
        Step of the highest rate, ``factor / sqrt(width * warmup)``.
    factor
        Multiplies the whole schedule.

    Raises
    ------
    ValueError
        If ``step`` or ``factor`` is negative, or ``width`` or ``warmup`` is not positive.

    Notes
    -----
    The paper writes ``width^-0.5 min(step^-0.5, step warmup^-1.5)``. This is
    ``width^-0.5 step max(step, warmup)^-1.5``, which is also defined at step 0.

    References
    ----------
    Vaswani et al. (2017), Attention Is All You Need, section 5.3, arXiv:1706.03762.
    """
    _require_step(step)
    _require_rate("factor", factor)
    for name, value in (("width", width), ("warmup", warmup)):
        if not value > 0:
            raise ValueError(f"{name} is {value}, expected more than 0")
    return float(factor * width**-0.5 * step * max(step, warmup) ** -1.5)
