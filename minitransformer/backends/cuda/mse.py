"""Mean squared error: differences in one pass, their squares summed by blocks."""

from typing import Any

from numba import cuda

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda.arrays import Array, empty, to_device
from minitransformer.backends.cuda.in_place import squares
from minitransformer.backends.cuda.kernel import device_kernel
from minitransformer.ops.mse import MseCache


@device_kernel("float32[::1], float32[::1], float32[::1]")
def subtract(prediction: Any, target: Any, difference: Any) -> None:
    """``difference = prediction - target``."""
    for i in range(cuda.grid(1), difference.size, cuda.gridsize(1)):
        difference[i] = prediction[i] - target[i]


@device_kernel("float64[::1], int64, float32[::1]")
def mean(total: Any, count: int, loss: Any) -> None:
    """``loss = total / count``, by one thread: the total need not go to the host for it."""
    loss[0] = total[0] / count


@kernel("cuda", ops.mse_forward)
def mse_forward(prediction: Any, target: Any) -> tuple[Array, MseCache]:
    """The loss stays on the device until somebody asks for its value."""
    prediction, target = to_device(prediction), to_device(target)
    difference = empty(prediction.shape)
    flat = (prediction.reshape(-1), target.reshape(-1), difference.reshape(-1))
    subtract.stride(difference.size, *flat)
    loss = empty(())
    mean.launch(1, 1, squares(difference), difference.size, loss.reshape(1))
    return loss, MseCache(difference)


@device_kernel("float32[::1], float32, float32[::1], float32[::1]")
def mse_gradient(difference: Any, slope: float, dprediction: Any, dtarget: Any) -> None:
    """``dprediction = slope difference``, ``dtarget`` its opposite."""
    for i in range(cuda.grid(1), difference.size, cuda.gridsize(1)):
        gradient = difference[i] * slope
        dprediction[i] = gradient
        dtarget[i] = -gradient


@kernel("cuda", ops.mse_backward)
def mse_backward(dy: Any, cache: MseCache) -> tuple[Array, Array]:
    """One pass writes both."""
    (difference,) = cache
    dprediction, dtarget = empty(difference.shape), empty(difference.shape)
    slope = float(dy) * 2.0 / difference.size
    flat = (dprediction.reshape(-1), dtarget.reshape(-1))
    mse_gradient.stride(difference.size, difference.reshape(-1), slope, *flat)
    return dprediction, dtarget
