"""How compiled code calls compiled code at an address, and how cores agree on who does what.

To LLVM an address is a stranger, whose code it does not compile again. So the loops that hand out
work are compiled once, and not once for each kernel.
"""

from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types

intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.extending.intrinsic

STATE = types.int64[::1]
HANDED_OUT, DONE, FAILED = range(3)
"""Of a launch: how many shards were handed out, how many are done, and whether one has failed."""
ARGUMENTS = 8
"""Where the kernel's arguments begin, behind that: in a line of the cache that nobody writes."""

LOOP = (*(types.intp,) * 4, STATE)
"""Types of what a loop over shards is given: work, steps, shards, threads, state."""


@intrinsic
def count(context: Any, state: Any, place: Any) -> Any:
    """Add one, indivisibly, whichever core asks; returns the number before."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", _number(context, builder, state, values), one, "acq_rel")

    return types.int64(state, place), generate


@intrinsic
def look(context: Any, state: Any, place: Any) -> Any:
    """Read a number that other cores change, and see all that they wrote before they did."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_number(context, builder, state, values), "acquire", align=8)

    return types.int64(state, place), generate


def _number(context: Any, builder: Any, state: Any, values: Any) -> Any:
    array = context.make_array(state)(context, builder, values[0])
    return builder.gep(array.data, [values[1]])


@intrinsic
def call(context: Any, work: Any, state: Any, shard: Any, shards: Any) -> Any:
    """Do a shard's work: call the C function at an address with that of the state."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        work, state, *numbers = values
        state = context.make_array(signature.args[1])(context, builder, state).data
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in (state, *numbers)])
        builder.call(builder.inttoptr(work, kind.as_pointer()), [state, *numbers])
        return context.get_dummy_value()

    return types.void(work, state, shard, shards), generate


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """See a number as an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), generate


@intrinsic
def run(
    context: Any, loop: Any, work: Any, steps: Any, shards: Any, threads: Any, state: Any
) -> Any:
    """Call the loop over shards at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.call_conv.get_function_type(types.none, LOOP)
        function = builder.inttoptr(values[0], kind.as_pointer())
        context.call_conv.call_function(builder, function, types.none, LOOP, values[1:])
        return context.get_dummy_value()

    return types.void(loop, work, steps, shards, threads, state), generate
