"""From one number of samples a second to another."""

import math

import numpy as np

ZEROS = 32
"""How far the sinc reaches, in zeros on either side."""


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Sample the same sound at other moments.

    Parameters
    ----------
    samples : (N,)
    rate, new_rate
        Samples in a second, before and after.

    Returns
    -------
    (ceil(N new_rate / rate),), of the same dtype

    Raises
    ------
    ValueError
        If samples do not have one axis, or a rate is not positive.

    Notes
    -----
    A sound without pitches above half its rate is the sum of its samples times a sinc around each,
    and so known at every moment (Shannon's theorem). Before it is sampled more rarely, pitches
    above half the new rate have to go: the sinc is wider by the same factor. A Hann window ends it.

    With ``rate / new_rate`` in lowest terms, ``down / up``, new sample m lies ``m down / up`` old
    samples behind the first: at one of ``up`` places between two, each with weights of its own.

    References
    ----------
    Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample/.
    """
    if samples.ndim != 1 or min(rate, new_rate) < 1:
        raise ValueError(
            f"resample: samples have shape {samples.shape}, the rates are {rate} and {new_rate}; "
            "expected (N,) and rates of 1 or more"
        )
    common = math.gcd(rate, new_rate)
    up, down = new_rate // common, rate // common
    if up == down:
        return samples.copy()
    stretch = max(1.0, down / up)
    reach = math.ceil(ZEROS * stretch)
    total = -(-len(samples) * up // down)
    padded = np.pad(samples, (reach, reach + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    result = np.empty(total, samples.dtype)
    for m in range(min(up, total)):  # then the same places come again, ``down`` samples later
        first, rest = divmod(m * down, up)
        weights = _kernel(np.arange(-reach, reach + 1) - rest / up, stretch)
        count = len(range(m, total, up))
        result[m::up] = windows[first::down][:count] @ weights.astype(samples.dtype)
    return result


def _kernel(distance: np.ndarray, stretch: float) -> np.ndarray:
    """How much a sample says about a moment at this distance."""
    x = distance / stretch
    hann = np.cos(np.pi / 2 * np.clip(x / ZEROS, -1.0, 1.0)) ** 2
    weights: np.ndarray = np.sinc(x) / stretch * hann
    return weights
