"""Four numbers at once: a thread can load or store 128 bits with one instruction.

It saves instructions, and it is the widest step in which memory can be asked. The address must be a
multiple of 16 bytes, or the GPU stops the program: so ask :func:`rows_are_aligned` first, and give
arrays in shared and local memory an alignment.

Numba has no words for this. :func:`copy4` is an *intrinsic*: instead of being compiled it says
itself which instructions stand for it, a load and a store of a vector of four.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.cuda.extending import intrinsic

BYTES = 16
LONG = ir.IntType(64)
VECTOR = ir.VectorType(ir.FloatType(), 4)


@intrinsic
def copy4(typing: Any, target: Any, place: Any, source: Any, start: Any) -> Any:
    """Copy four float32 from ``source[start]`` on to ``target[place]`` on.

    ``place`` and ``start`` are indices, tuples of them where there are several axes. Both addresses
    must be multiples of 16 bytes, and the four must lie within their rows.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        four = builder.load(_address(context, builder, signature.args[2:], args[2:]))
        four.align = BYTES
        builder.store(four, _address(context, builder, signature.args[:2], args[:2])).align = BYTES
        return context.get_dummy_value()

    return types.void(target, place, source, start), generate


def _address(context: Any, builder: Any, kinds: Any, values: Any) -> Any:
    """Where four elements of a C-contiguous array begin."""
    array = context.make_array(kinds[0])(context, builder, values[0])
    is_tuple = isinstance(kinds[1], types.BaseTuple)  # type: ignore[attr-defined]
    indices = cgutils.unpack_tuple(builder, values[1]) if is_tuple else [values[1]]
    index_types = kinds[1].types if is_tuple else [kinds[1]]
    place = ir.Constant(LONG, 0)
    for size, index, kind in zip(
        cgutils.unpack_tuple(builder, array.shape), indices, index_types, strict=True
    ):
        place = builder.add(
            builder.mul(place, size), context.cast(builder, index, kind, types.intp)
        )
    pointer = builder.gep(array.data, [place])
    return builder.bitcast(pointer, VECTOR.as_pointer(pointer.type.addrspace))


@intrinsic
def rows_are_aligned(typing: Any, x: Any) -> Any:
    """Whether every row of an array of float32 starts at a multiple of 16 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        columns = cgutils.unpack_tuple(builder, array.shape)[-1]
        row = builder.mul(columns, ir.Constant(LONG, 4))
        mixed = builder.or_(builder.ptrtoint(array.data, LONG), row)
        rest = builder.and_(mixed, ir.Constant(LONG, BYTES - 1))
        return builder.icmp_unsigned("==", rest, ir.Constant(LONG, 0))

    return types.boolean(x), generate
