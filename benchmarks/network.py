"""The alpha-beta model of a network: a message of so many bytes takes ``alpha + beta bytes``."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class AlphaBeta(NamedTuple):
    """Latency of a message in seconds, and seconds per byte.

    References
    ----------
    Hockney (1994), The communication challenge for MPP: Intel Paragon and Meiko CS-2.
    """

    alpha: float
    beta: float

    def __str__(self) -> str:
        return f"{1e6 * self.alpha:g} us, {8e-9 / self.beta:g} Gbit/s"


NETWORKS = {
    "Ethernet": AlphaBeta(30e-6, 8e-9 / 10),
    "InfiniBand HDR": AlphaBeta(1.5e-6, 8e-9 / 200),
}
"""Assumed: usual latencies between two hosts, and the nominal rate of the link."""


def fit(seconds: Mapping[int, float]) -> AlphaBeta:
    """Fit the model to times by message size; every size counts alike, as errors are relative."""
    sizes = np.array(list(seconds), dtype=np.float64)
    times = np.array(list(seconds.values()))
    design = np.stack([np.ones_like(sizes), sizes], axis=1) / times[:, None]
    (alpha, beta), *_ = np.linalg.lstsq(design, np.ones_like(times))
    return AlphaBeta(max(float(alpha), 0.0), float(beta))


def ring_seconds(network: AlphaBeta, ranks: int, payload: int) -> float:
    """Time of a ring all-reduce: 2 (n - 1) messages of an n-th of the payload, one after another.

    References
    ----------
    Patarasuk and Yuan (2009), Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations.
    """
    messages = 2 * (ranks - 1)
    return messages * (network.alpha + network.beta * payload / ranks)
