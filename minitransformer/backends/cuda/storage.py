"""Numbers kept in half the bytes: 16 bits in memory, 32 in every computation.

Generation reads all weights, and all keys and values so far, for every token, and uses each number
once per text: it takes as long as memory takes to deliver them. In 16 bits that is half the time.
Sums stay float32, so that only the rounding of what is stored is lost, once.

========== ==== ======== ======== ============= ======================
format     sign exponent fraction largest       relative error at most
========== ==== ======== ======== ============= ======================
float32    1    8        23       3.4e38        6e-8
float16    1    5        10       65,504        5e-4 (from 6e-5 on)
bfloat16   1    8        7        3.4e38        4e-3
========== ==== ======== ======== ============= ======================

bfloat16 is the upper half of a float32. NumPy has no such type: it lies in memory as uint16, which
stands for nothing else here, since integers on the device are int64.
"""

from typing import Any

import numpy as np

from minitransformer.errors import InputError

FLOAT = np.dtype(np.float32)
STORAGES: dict[str, np.dtype[Any]] = {
    "float32": FLOAT,
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
}
"""Name to the dtype of NumPy that lies in memory."""
NAMES = {dtype: name for name, dtype in STORAGES.items()}


def storage_of(name: str) -> np.dtype[Any]:
    """Dtype in memory of a storage by its name.

    Raises
    ------
    InputError
        If there is no such storage.
    """
    if name not in STORAGES:
        raise InputError(f"storage is {name!r}, expected one of {', '.join(STORAGES)}")
    return STORAGES[name]


def rounded(array: np.ndarray, storage: np.dtype[Any]) -> np.ndarray:
    """Round float32 to the nearest numbers of a storage; of two, to the even one.

    Raises
    ------
    InputError
        If a finite number is too large for float16.
    """
    if storage == np.uint16:
        bits = np.asarray(array, np.float32).view(np.uint32)
        below = np.uint32(0x7FFF) + (bits >> 16 & 1)  # so that what is over half carries
        upper = np.where(np.isnan(array), bits | 1 << 22, bits + below) >> 16
        return upper.astype(np.uint16)
    with np.errstate(over="ignore"):
        result = array.astype(storage)
    if storage == np.float16 and not np.isfinite(result[np.isfinite(array)]).all():
        raise InputError(
            f"a number of {np.abs(array).max():.3g} does not fit into float16, which ends at "
            "65,504; store as bfloat16, or as float32"
        )
    return result


def widened(stored: np.ndarray) -> np.ndarray:
    """Return what was stored in 16 bits as float32, to the bit; other arrays as they are."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored
