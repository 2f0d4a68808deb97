"""Root-mean-square normalisation: the top rung of layer norm's ladder, without a mean."""

from typing import Any

from minitransformer import ops
from minitransformer.backend import kernel
from minitransformer.backends.cuda import norms
from minitransformer.backends.cuda.arrays import Array, to_device
from minitransformer.ops.rms_norm import RMSNormCache


@kernel("cuda", ops.rms_norm_forward)
def rms_norm_forward(x: Any, gamma: Any, eps: float = 1e-6) -> tuple[Array, RMSNormCache]:
    """Read each row once."""
    gamma = to_device(gamma)
    y, xhat, rrms = norms.forward(to_device(x), gamma, None, eps)
    return y, RMSNormCache(xhat, rrms, gamma)


@kernel("cuda", ops.rms_norm_backward)
def rms_norm_backward(dy: Any, cache: RMSNormCache) -> tuple[Array, Array]:
    """Read each row once for both gradients; dgamma in two stages."""
    dx, dgamma, _ = norms.backward(to_device(dy), *cache, centred=False)
    return dx, dgamma
