"""What broadcasting copies forward, backward must sum."""

import numpy as np

from minitransformer.backend import op


@op(composed=True)
def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes along which its argument was repeated.

    Parameters
    ----------
    gradient : the broadcast shape
    shape
        Of the argument, before it was repeated.

    Returns
    -------
    ``shape``
    """
    added = gradient.ndim - len(shape)
    repeated = [
        added + axis
        for axis, size in enumerate(shape)
        if size == 1 and gradient.shape[added + axis] != 1
    ]
    axes = (*range(added), *repeated)
    return gradient.sum(axis=axes).reshape(shape) if axes else gradient
