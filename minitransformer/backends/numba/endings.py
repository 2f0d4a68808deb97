"""What a product does with its result as soon as a part of it is there, and still in the cache."""

from minitransformer.backends.numba.activations import gelu_and_slope
from minitransformer.backends.numba.hints import contiguous
from minitransformer.backends.numba.threads import Array, compiled

NOTHING, PLUS, TIMES, GELU = range(4)
"""Leave c as it is; add another matrix; multiply by it; apply GELU, and leave its slope there."""


@compiled
def finish(c: Array, other: Array, ending: int, rows: slice, columns: slice) -> None:
    """Apply an ending to a part of c, whose rows are contiguous, as are those of ``other``."""
    if ending == NOTHING:
        return
    for i in range(rows.start, rows.stop):
        y, x = contiguous(c[i, columns]), contiguous(other[i, columns])
        if ending == GELU:
            for j in range(y.size):
                y[j], x[j] = gelu_and_slope(y[j])
        elif ending == PLUS:
            for j in range(y.size):
                y[j] += x[j]
        else:
            for j in range(y.size):
                y[j] *= x[j]
