"""What the compiler is told beside the arithmetic: how arrays lie, and what to keep apart."""

from typing import Any

from numba import types
from numba.core.imputils import impl_ret_borrowed

from minitransformer.backends.numba.launching import intrinsic


@intrinsic
def strided(context: Any, array: Any) -> Any:
    """See an array as read-only and of any layout: one type, so one compilation, for all."""
    general = types.Array(array.dtype, array.ndim, "A", readonly=True, aligned=False)

    def cast(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return impl_ret_borrowed(context, builder, general, args[0])

    return general(array), cast


@intrinsic
def contiguous(context: Any, array: Any) -> Any:
    """See an array as C-contiguous, which it has to be: vectors are then loaded without a check."""
    dense = types.Array(array.dtype, array.ndim, "C")

    def cast(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return impl_ret_borrowed(context, builder, dense, args[0])

    return dense(array), cast


@intrinsic
def never_inline(context: Any) -> Any:
    """Keep the function in which this stands apart from its callers.

    LLVM would copy it into each, and compile the same code again and again.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate
