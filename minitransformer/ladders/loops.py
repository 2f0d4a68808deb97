"""Loops that Numba compiles for the CPU: what NumPy does behind one line, and one step beyond.

Compiled loops cost next to nothing, so the order of the work becomes a choice, and with it how
often memory is read.
"""

import numpy as np
from jaxtyping import Float
from numba import njit


@njit
def softmax_rows(x: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Softmax of every row in three passes: the largest score, the sum of weights, the quotients.

    Parameters
    ----------
    x : (T, S)
        Scores; -inf has probability 0.

    Returns
    -------
    (T, S)
        Rows sum to 1; a row of -inf is 0.
    """
    y = np.zeros_like(x)
    for t in range(x.shape[0]):
        top = -np.inf
        for s in range(x.shape[1]):
            top = max(top, x[t, s])
        if top == -np.inf:
            continue
        total = 0.0
        for s in range(x.shape[1]):
            y[t, s] = np.exp(x[t, s] - top)
            total += y[t, s]
        for s in range(x.shape[1]):
            y[t, s] /= total
    return y


@njit
def softmax_online(x: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Softmax of every row, with the largest score and the sum found in one and the same pass.

    Parameters
    ----------
    x : (T, S)
        Scores; -inf has probability 0.

    Returns
    -------
    (T, S)
        Rows sum to 1; a row of -inf is 0.

    Notes
    -----
    The sum ``exp(x[0] - top) + exp(x[1] - top) + ...`` is kept for the largest score so far. When a
    larger one comes, every summand shrinks by the same factor, ``exp(old top - new top)``, and so
    does the sum: nothing has to be read again. Flash attention lives on this.

    References
    ----------
    Milakov and Gimelshein (2018), Online normalizer calculation for softmax, arXiv:1805.02867.
    """
    y = np.zeros_like(x)
    for t in range(x.shape[0]):
        top, total = -np.inf, 0.0
        for s in range(x.shape[1]):
            if x[t, s] > top:
                total *= np.exp(top - x[t, s])
                top = x[t, s]
            if top > -np.inf:
                total += np.exp(x[t, s] - top)
        for s in range(x.shape[1]):
            if top > -np.inf:
                y[t, s] = np.exp(x[t, s] - top) / total
    return y


@njit
def matmul_tiled(
    a: Float[np.ndarray, "M K"], b: Float[np.ndarray, "K N"], tile: int
) -> Float[np.ndarray, "M N"]:
    """Multiply two matrices tile by tile, so that what was read is used again while it is near.

    Parameters
    ----------
    a, b : (M, K) and (K, N)
    tile
        Rows and columns of a tile; the last ones may be smaller.

    Returns
    -------
    (M, N)

    Notes
    -----
    A row of a times a column of b reads 2K numbers for K products. For a whole tile of y the same
    ``tile`` rows and columns serve ``tile**2`` sums: each number that comes from memory is used
    ``tile`` times, provided that three tiles fit into the cache.
    """
    (rows, inner), columns = a.shape, b.shape[1]
    y = np.zeros((rows, columns), a.dtype)
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            for start in range(0, inner, tile):
                for i in range(top, min(top + tile, rows)):
                    for k in range(start, min(start + tile, inner)):
                        for j in range(left, min(left + tile, columns)):
                            y[i, j] += a[i, k] * b[k, j]
    return y
