"""The cuda backend: kernels for GPUs from NVIDIA, on the device that the environment names.

Every module beside this file registers its kernels when it is imported; a new file needs no entry
anywhere. There is no way back to the textbook in the middle of a model: what has no kernel here is
an error.
"""

import importlib
import os
import pkgutil
import sys

from minitransformer.backends.cuda.device import DEVICES, current_device, device_name

if device_name() == "simulated" and "numba" not in sys.modules:
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # Numba reads it when it is imported

for _module in pkgutil.iter_modules(__path__):
    if _module.name not in DEVICES:
        importlib.import_module(f"{__name__}.{_module.name}")


def prepare() -> None:
    """Start the device, or say why it cannot be."""
    current_device()
