"""Table look-up."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from minitransformer.backend import op
from minitransformer.ops.checks import (
    check_gradient,
    require_axes,
    require_floats,
    require_integers,
)


class EmbeddingCache(NamedTuple):
    """What embedding's backward needs."""

    ids: np.ndarray  # (...)
    w: np.ndarray  # (V, C)


def _check(ids: Any, w: Any) -> None:
    require_floats("embedding", w=w)
    if len(w.shape) != 2:
        raise ValueError(f"embedding: w has shape {w.shape}, expected 2 axes")
    require_integers("embedding", "ids", ids, w.shape[0])
    require_axes("embedding", "ids", ids, 1)


def _like_y(cache: Any) -> tuple[tuple[int, ...], Any]:
    return (*cache.ids.shape, cache.w.shape[1]), cache.w.dtype


@op(_check)
def embedding_forward(
    ids: Integer[np.ndarray, "*leading"], w: Float[np.ndarray, "V C"]
) -> tuple[Float[np.ndarray, "*leading C"], EmbeddingCache]:
    """Replace each id by its row of the table.

    Parameters
    ----------
    ids : (...), integers in [0, V)
    w : (V, C)

    Returns
    -------
    y : (..., C)
    cache : EmbeddingCache

    Raises
    ------
    IndexError
        If an id is outside the table; names the value and its position.

    Notes
    -----
    Forward: ``y[n] = w[ids[n]]``, which is ``onehot(ids) w`` without the zeros.

    Backward: row v of w was copied to every position n with ``ids[n] == v``, so it receives the
    sum of their gradients: ``dw[v] = sum_{n: ids[n] = v} dy[n]``. Ids have no gradient.
    """
    y = w[ids]
    return y, EmbeddingCache(ids, w)


@op(check_gradient("embedding", _like_y))
def embedding_backward(
    dy: Float[np.ndarray, "*leading C"], cache: EmbeddingCache
) -> tuple[Float[np.ndarray, "V C"]]:
    """Gradient ``(dw,)`` of :func:`embedding_forward`; rows that no id names are zero."""
    ids, w = cache
    dw = np.zeros(w.shape, w.dtype)
    # y = w[ids]
    np.add.at(dw, ids, dy)
    return (dw,)
