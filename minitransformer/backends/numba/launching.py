"""How compiled code calls compiled code at an address, and how cores agree on who does what.

To LLVM an address is a stranger, whose code it does not compile again. So the loops that hand out
work are compiled once, and not once for each kernel.
"""

from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.extending.intrinsic

STATE = types.int64[::1]
HANDED_OUT, DONE, FAILED = range(3)
"""Of a launch: how many shards were handed out, how many are done, and whether one has failed."""

LOOP = (*(types.intp,) * 5, STATE)
"""Types of what a loop over shards is given: work, args, steps, shards, threads, state."""


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
def call(context: Any, work: Any, args: Any, shard: Any, shards: Any) -> Any:
    """Call a C function at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values[1:]])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(work, args, shard, shards), generate


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """See a number as an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.intp), generate


@intrinsic
def run(
    context: Any,
    loop: Any,
    kernel: Any,
    steps: Any,
    shards: Any,
    threads: Any,
    state: Any,
    args: Any,
) -> Any:
    """Call the loop with a C function that calls the kernel on ``args``, which stay on the stack.

    Loop and kernel are addresses.
    """
    signature = types.void(loop, kernel, steps, shards, threads, state, args)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loop, kernel, steps, shards, threads, state, args = values
        state_data = context.make_array(signature.args[5])(context, builder, state).data
        args = _lent(context, builder, signature.args[6], args)
        stack = cgutils.alloca_once_value(
            builder, cgutils.make_anonymous_struct(builder, [kernel, state_data, args])
        )
        work = _unpacking(context, builder.module, stack.type, signature.args[6])
        number = kernel.type
        function = builder.inttoptr(
            loop, context.call_conv.get_function_type(types.none, LOOP).as_pointer()
        )
        inner = [builder.ptrtoint(pointer, number) for pointer in (work, stack)]
        context.call_conv.call_function(
            builder, function, types.none, LOOP, [*inner, steps, shards, threads, state]
        )
        return context.get_dummy_value()

    return signature, generate


def _lent(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Arrays without their counts of references, which cores would take turns to write.

    The caller keeps its references until all are done.
    """
    if isinstance(kind, types.BaseTuple):
        items = zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_lent(context, builder, *item) for item in items])
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    return value


def _unpacking(context: Any, module: Any, stack: Any, args: Any) -> Any:
    """Make the C function ``(stack, shard, shards)`` that calls the kernel, noting if it fails."""
    number = context.get_value_type(types.intp)
    kind = ir.FunctionType(ir.VoidType(), [number] * 3)
    function = ir.Function(module, kind, module.get_unique_name("work"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    values = builder.load(builder.inttoptr(function.args[0], stack))
    kernel, state, packed = (builder.extract_value(values, n) for n in range(3))
    parameters = (*args.types, types.intp, types.intp)
    convention = context.call_conv
    status, _ = convention.call_function(
        builder,
        builder.inttoptr(kernel, convention.get_function_type(types.none, parameters).as_pointer()),
        types.none,
        parameters,
        [*cgutils.unpack_tuple(builder, packed), *function.args[1:]],
    )
    with builder.if_then(status.is_error):
        failed = builder.gep(state, [context.get_constant(types.intp, FAILED)])
        builder.store(context.get_constant(types.int64, 1), failed)
    builder.ret_void()
    return function
