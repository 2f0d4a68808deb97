"""How tiles of the matrix product come from global memory into shared memory.

In two steps, with a tile's multiplications between them: *fetching* sends for the numbers, which
arrive in registers some hundred cycles later; *staging* puts them down, as float32, with the inner
axis first. A matrix with the inner axis last is turned over on the way (*across*), one with the
inner axis first is not (*along*). Each thread of 256 fetches four numbers, eight steps of the inner
sum for 128 rows in all. ``n`` counts such fetches.
"""

from collections.abc import Callable
from typing import Any

from numba import cuda, float32

from minitransformer.backends.cuda.kernel import device_function
from minitransformer.backends.cuda.vectors import copy4, copy8
from minitransformer.backends.cuda.widening import narrow, widen

ALIGNMENT = 16


def fetching(count: int) -> Callable[..., None]:
    """Make the function that fetches so many numbers at once."""
    copy = {4: copy4, 8: copy8}[count]

    @device_function
    def fetch(some: Any, n: int, x: Any, z: int, i: int, j: int, aligned: bool) -> None:
        """Load ``x[z, i, j : j + count]`` into registers as it is stored; zeros for the outside."""
        if aligned and i < x.shape[1] and j < x.shape[2]:
            copy(some, (n, 0), x, (z, i, j))
        else:
            for m in range(count):
                inside = i < x.shape[1] and j + m < x.shape[2]
                some[n, m] = x[z, i, j + m] if inside else narrow(float32(0.0), x)

    return fetch  # type: ignore[no-any-return]


fetch_four, fetch_eight = fetching(4), fetching(8)


@device_function
def fetch_across(some: Any, n: int, x: Any, z: int, first: int, k: int, aligned: bool) -> None:
    """Fetch from a matrix with the inner axis last: two threads a row, 32 bytes in one piece."""
    thread = cuda.threadIdx.x
    fetch_four(some, n, x, z, first + thread // 2, k + thread % 2 * 4, aligned)


@device_function
def fetch_far_across(some: Any, n: int, x: Any, z: int, first: int, k: int, aligned: bool) -> None:
    """Fetch numbers of 16 bits alike: for 32 bytes in one piece these are 16 steps, not 8."""
    thread = cuda.threadIdx.x
    fetch_eight(some, n, x, z, first + thread // 2, k + thread % 2 * 8, aligned)


@device_function
def fetch_along(some: Any, n: int, x: Any, z: int, first: int, k: int, aligned: bool) -> None:
    """Fetch from a matrix with the inner axis first: a warp for each step, all in one run."""
    thread = cuda.threadIdx.x
    fetch_four(some, n, x, z, k + thread // 32, first + thread % 32 * 4, aligned)


@device_function
def stage_across(tiles: Any, buffer: int, some: Any, n: int) -> None:
    """Turn over what :func:`fetch_across` fetched: four steps of one row."""
    thread = cuda.threadIdx.x
    for m in range(4):
        tiles[buffer, 8 * n + thread % 2 * 4 + m, thread // 2] = widen(some[n, m])


@device_function
def stage_far_across(tiles: Any, buffer: int, some: Any, n: int) -> None:
    """Turn over eight steps of one row.

    Step k and step k + 8 of a row lie in one bank. So one of its two threads goes through its eight
    from the first on, and the other from the fifth on.
    """
    thread = cuda.threadIdx.x
    odd = thread % 2
    for m in range(8):
        number = some[n, (m + 4) % 8] if odd else some[n, m]
        tiles[buffer, odd * 8 + (m + 4 * odd) % 8, thread // 2] = widen(number)


@device_function
def stage_along(tiles: Any, buffer: int, some: Any, n: int) -> None:
    """Put down what :func:`fetch_along` fetched."""
    thread = cuda.threadIdx.x
    wide = cuda.local.array(4, float32, ALIGNMENT)
    for m in range(4):
        wide[m] = widen(some[n, m])
    copy4(tiles, (buffer, 8 * n + thread // 32, thread % 32 * 4), wide, 0)
