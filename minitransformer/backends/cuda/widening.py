"""From 16 bits to 32 and back, in a kernel. See :mod:`.storage` for the formats.

float16 has instructions of its own, ``cvt``. A bfloat16 is the upper half of a float32: a shift
makes it one, and back again takes an addition, which rounds, and a shift. Numba's own words for
these two types call functions that only a GPU's driver could link; hence *intrinsics*, which say
themselves which instructions stand for them. In Numba's simulator there are plain functions.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.cuda.extending import intrinsic

from minitransformer.backends.cuda.kernel import SIMULATED
from minitransformer.backends.cuda.storage import rounded, widened

FLOAT, WORD, HALF_WORD = ir.FloatType(), ir.IntType(32), ir.IntType(16)


@intrinsic
def widen_compiled(typing: Any, x: Any) -> Any:
    """Return a float32, float16 or bfloat16 as float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (value,) = args
        if x != types.uint16:
            return context.cast(builder, value, x, types.float32)
        return builder.bitcast(builder.shl(builder.zext(value, WORD), WORD(16)), FLOAT)

    return types.float32(x), generate


@intrinsic
def narrow_compiled(typing: Any, x: Any, like: Any) -> Any:
    """Round a float32 to what an array stores: to nearest, and of two to the even one."""
    stored = like.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = args[0]
        if stored != types.uint16:
            return context.cast(builder, value, types.float32, stored)
        bits = builder.bitcast(value, WORD)
        odd = builder.and_(builder.lshr(bits, WORD(16)), WORD(1))
        up = builder.add(bits, builder.add(odd, WORD(0x7FFF)))  # what is over half carries
        nan = builder.fcmp_unordered("uno", value, value)
        kept = builder.select(nan, builder.or_(bits, WORD(1 << 22)), up)
        return builder.trunc(builder.lshr(kept, WORD(16)), HALF_WORD)

    return stored(types.float32, like), generate


def _widen_simulated(x: Any) -> Any:
    return widened(np.asarray(x))[()]


def _narrow_simulated(x: Any, like: Any) -> Any:
    with np.errstate(over="ignore"):
        return rounded(np.asarray(x), like.dtype)[()] if like.dtype == np.uint16 else x


widen = _widen_simulated if SIMULATED else widen_compiled
narrow = _narrow_simulated if SIMULATED else narrow_compiled
