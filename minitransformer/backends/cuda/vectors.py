"""Four or eight numbers at once: a thread can load or store 128 bits with one instruction.

It saves instructions, and it is the widest step in which memory can be asked: four float32, or
eight numbers that are stored in 16 bits. The address must be a multiple of the bytes, or the GPU
stops the program: so ask :func:`rows_are_aligned` first, and give arrays in shared and local memory
an alignment.

Numba has no words for this. :data:`copy4` and :data:`copy8` are *intrinsics*: instead of being
compiled they say themselves which instructions stand for them, a load and a store of a vector.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.cuda.extending import intrinsic

BYTES = 16
LONG = ir.IntType(64)


def copy_of(count: int) -> Callable[..., None]:
    """Make the function that copies so many numbers."""

    def copy(typing: Any, target: Any, place: Any, source: Any, start: Any) -> Any:
        """Copy from ``source[start]`` on to ``target[place]`` on, both of one type.

        ``place`` and ``start`` are indices, tuples of them where there are several axes. The
        numbers must lie within their rows.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers = builder.load(_vector(context, builder, signature.args[2:], args[2:], count))
            to = _vector(context, builder, signature.args[:2], args[:2], count)
            numbers.align = count * _bytes(source)
            builder.store(numbers, to).align = count * _bytes(source)
            return context.get_dummy_value()

        return types.void(target, place, source, start), generate

    return intrinsic(copy)  # type: ignore[no-any-return]


copy4 = copy_of(4)
copy8 = copy_of(8)


def _bytes(array: Any) -> int:
    """Of a number."""
    return int(array.dtype.bitwidth) // 8


def _vector(context: Any, builder: Any, kinds: Any, values: Any, count: int) -> Any:
    """Where a vector of elements of a C-contiguous array begins."""
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
    vector = ir.VectorType(pointer.type.pointee, count)
    if _bytes(kinds[0]) == 2:  # of eight numbers the compiler would make two loads
        vector = ir.VectorType(ir.IntType(32), count // 2)
    return builder.bitcast(pointer, vector.as_pointer(pointer.type.addrspace))


@intrinsic
def rows_are_aligned(typing: Any, x: Any) -> Any:
    """Whether every row of an array starts at a multiple of 16 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        columns = cgutils.unpack_tuple(builder, array.shape)[-1]
        row = builder.mul(columns, ir.Constant(LONG, _bytes(x)))
        mixed = builder.or_(builder.ptrtoint(array.data, LONG), row)
        rest = builder.and_(mixed, ir.Constant(LONG, BYTES - 1))
        return builder.icmp_unsigned("==", rest, ir.Constant(LONG, 0))

    return types.boolean(x), generate
