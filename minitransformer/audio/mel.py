"""What Whisper hears: how loud each pitch is, a hundred times a second."""

import math

import numpy as np

SAMPLE_RATE = 16_000
FRAME = 400
"""Samples in a frame: 25 ms."""
HOP = 160
"""Samples from one frame to the next: 10 ms."""


def log_mel(samples: np.ndarray, mel_bins: int = 80) -> np.ndarray:
    """Turn sound into the logarithm of its mel spectrogram.

    Parameters
    ----------
    samples : (N,), from -1 to 1
        16,000 in a second; more than 200. Public checkpoints expect 30 s, with silence behind.
    mel_bins
        Pitches M.

    Returns
    -------
    (N // 160, M) float32

    Raises
    ------
    ValueError
        If samples do not have one axis, or are too few.

    Notes
    -----
    Every 10 ms, a Hann window cuts out a frame of 25 ms, which is Fourier transformed. The squares
    of its 201 amplitudes are added up in M overlapping triangles, narrow at low pitches and wide
    at high ones, as the ear does it. What is more than 8 powers of ten below the loudest is raised
    to that, and all is brought to about -1 to 1: ``(max(log10(p), top - 8) + 4) / 4``.

    Frames are centred at multiples of 10 ms; the first ones see the sound mirrored at its ends.

    References
    ----------
    Radford et al. (2022), Robust Speech Recognition via Large-Scale Weak Supervision, section 2.2,
    arXiv:2212.04356.
    """
    if samples.ndim != 1 or len(samples) <= FRAME // 2:
        raise ValueError(
            f"log_mel: samples have shape {samples.shape}, expected (N,) with N > {FRAME // 2}"
        )
    padded = np.pad(samples.astype(np.float64), FRAME // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[:-1:HOP]
    frames = frames[: len(samples) // HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    loudness = np.log10(np.maximum(power @ mel_filters(mel_bins), 1e-10))
    loudness = np.maximum(loudness, loudness.max() - 8.0)
    scaled: np.ndarray = (loudness + 4.0) / 4.0
    return scaled.astype(np.float32)


def mel_filters(mel_bins: int = 80) -> np.ndarray:
    """Triangles of equal area that overlap, at distances that are equal to the ear.

    Parameters
    ----------
    mel_bins
        Number of triangles M.

    Returns
    -------
    (201, M)
        The weight of each frequency, from 0 to 8,000 Hz, in each triangle.

    References
    ----------
    Slaney (1998), Auditory Toolbox, Interval Research technical report 1998-010.
    """
    corners = _to_hertz(np.linspace(0.0, _to_mel(SAMPLE_RATE / 2), mel_bins + 2))
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, FRAME // 2 + 1)[:, None]
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: np.ndarray = triangles * 2.0 / (high - low)
    return filters


# pitches as Slaney has them: proportional to the frequency below 1,000 Hz, to its logarithm above
LINEAR = 200.0 / 3.0  # Hz for one mel
BORDER = 1_000.0  # Hz
STEP = math.log(6.4) / 27.0


def _to_mel(hertz: float) -> float:
    return BORDER / LINEAR + math.log(hertz / BORDER) / STEP


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    above = BORDER * np.exp(STEP * (mel - BORDER / LINEAR))
    return np.where(mel < BORDER / LINEAR, LINEAR * mel, above)
