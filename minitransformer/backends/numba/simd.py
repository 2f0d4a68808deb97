"""What NumPy cannot say: a tile of a matrix product held in vector registers.

A core multiplies and adds 4 to 16 numbers with one instruction, twice a cycle, but reads at most
two vectors a cycle from its nearest cache. A product is fast only if every number that is loaded
is used many times. So a *tile* of the result, some rows by some vectors, stays in registers while
the rows of ``b`` stream past:

    for each k:  load the row b[k] of the tile's width         (``vectors`` loads)
                 for each row r:  load a[r, k] into all lanes  (``rows`` loads)
                                  tile[r] += a[r, k] * b[k]    (``rows * vectors`` multiply-adds)

Registers bound the tile: ``rows * vectors`` for sums, ``vectors`` for b and one for a.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minitransformer.backends.numba.launching import intrinsic
from minitransformer.backends.numba.tiles import ROW_BYTES, ROWS, TILE

UNROLLED = 4
"""Steps of the sum over k between two jumps back: fewer instructions besides the multiply-adds."""


@intrinsic
def copy_panel_row(context: Any, c: Any, i: Any, j: Any, b: Any, k: Any, n: Any) -> Any:
    """Copy a tile's width: ``c[i, j:j + columns] = b[k, n:n + columns]``."""
    return _copy_row(c, b, lambda matrix: ROW_BYTES // matrix.itemsize)


@intrinsic
def copy_tile_column(context: Any, c: Any, i: Any, j: Any, b: Any, k: Any, n: Any) -> Any:
    """Copy a tile's height: ``c[i, j:j + ROWS] = b[k, n:n + ROWS]``."""
    return _copy_row(c, b, lambda matrix: ROWS)


def _copy_row(c: Any, b: Any, width: Callable[["_Matrix"], int]) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, i, j, _, k, n = args
        to, source = (_Matrix(context, builder, signature, args, m) for m in (0, 3))
        vector = ir.VectorType(source.number, width(source))
        to.store(to.at(i, j), source.load(source.at(k, n), vector))
        return context.get_dummy_value()

    return types.void(c, types.intp, types.intp, b, types.intp, types.intp), generate


@intrinsic
def copy_transposed(context: Any, c: Any, i: Any, j: Any, b: Any, k: Any, n: Any) -> Any:
    """Turn a square, as wide as a vector: ``c[i + x, j + y] = b[k + x, n + y]``.

    Columns of b and rows of c must be contiguous.
    Of every two vectors ``s`` apart, the first takes over the other's lanes that have bit s unset,
    and the other the first's that have it set. Done for each bit of a lane's number, that moves
    every number to the vector of its lane and the lane of its vector.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, i, j, _, k, n = args
        to, source = (_Matrix(context, builder, signature, args, m) for m in (0, 3))
        lanes = range(source.vector.count)
        steps = [ir.Constant(i.type, lane) for lane in lanes]
        square = [source.load(source.at(k, builder.add(n, step))) for step in steps]
        s = 1
        while s < len(lanes):
            first_lanes = [x + (len(lanes) - s) * bool(x & s) for x in lanes]
            other_lanes = [x + (s if not x & s else len(lanes)) for x in lanes]
            for v in lanes:
                if not v & s:
                    pair = square[v], square[v + s]
                    square[v] = _shuffle(builder, *pair, first_lanes)
                    square[v + s] = _shuffle(builder, *pair, other_lanes)
            s *= 2
        for step, vector in zip(steps, square, strict=True):
            to.store(to.at(builder.add(i, step), j), vector)
        return context.get_dummy_value()

    return types.void(c, types.intp, types.intp, b, types.intp, types.intp), generate


def _shuffle(builder: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    """Vector of the given lanes of x, and of y from ``len(x)`` on."""
    lane = ir.IntType(32)
    mask = ir.Constant(ir.VectorType(lane, len(lanes)), [ir.Constant(lane, n) for n in lanes])
    return builder.shuffle_vector(x, y, mask)


@intrinsic
def multiply_add_tile(
    context: Any,
    c: Any,
    i: Any,
    j: Any,
    start: Any,
    si: Any,
    sj: Any,
    a: Any,
    ai: Any,
    ak: Any,
    b: Any,
    bk: Any,
    depth: Any,
    rows: Any,
) -> Any:
    """Compute one tile of c: a start plus the product of ``depth`` columns of a and rows of b.

    ``c[i:i + rows, j:j + columns] = start[si:si + rows, sj:sj + columns] + a[ai:ai + rows,
    ak:ak + depth] @ b[bk:bk + depth, :columns]``. Rows of b, c and start must be contiguous. With
    fewer rows than the tile has, the last one is computed again instead, and stored in the same
    place: no branch, no other tile.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, i, j, _, si, sj, _, ai, ak, _, bk, depth, rows = args
        c, start, a, b = (_Matrix(context, builder, signature, args, n) for n in (0, 3, 6, 9))
        zero = ir.Constant(rows.type, 0)
        last = builder.sub(rows, ir.Constant(rows.type, 1))
        offsets = [_minimum(builder, ir.Constant(rows.type, r), last) for r in range(TILE.rows)]
        c_rows, start_rows = (
            [matrix.vectors(builder.add(row, offset), column) for offset in offsets]
            for matrix, row, column in ((c, i, j), (start, si, sj))
        )
        sums = [
            [cgutils.alloca_once_value(builder, start.load(at)) for at in row] for row in start_rows
        ]
        a_rows = [builder.mul(offset, a.strides[0]) for offset in offsets]
        a_at = cgutils.alloca_once_value(builder, a.at(ai, ak))
        b_at = cgutils.alloca_once_value(builder, b.at(bk, zero))

        def add_products() -> None:
            a_k, b_k = builder.load(a_at), builder.load(b_at)
            b_row = [b.load(at) for at in b.vectors_from(b_k)]
            for a_row, totals in zip(a_rows, sums, strict=True):
                factor = a.splat(builder.add(a_k, a_row))
                for total, vector in zip(totals, b_row, strict=True):
                    new = c.multiply_add(factor, vector, builder.load(total))
                    builder.store(new, total)
            builder.store(_opaque(builder, builder.add(a_k, a.strides[1])), a_at)
            builder.store(builder.add(b_k, b.strides[0]), b_at)

        unrolled = ir.Constant(depth.type, UNROLLED)
        with cgutils.for_range(builder, builder.sdiv(depth, unrolled)):
            for _ in range(UNROLLED):
                add_products()
        with cgutils.for_range(builder, builder.srem(depth, unrolled)):
            add_products()
        for row, totals in zip(c_rows, sums, strict=True):
            for at, total in zip(row, totals, strict=True):
                c.store(at, builder.load(total))
        return context.get_dummy_value()

    index = types.intp
    two = (index, index)
    return types.void(c, *two, start, *two, a, *two, b, index, index, index), generate


def _minimum(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _opaque(builder: Any, address: Any) -> Any:
    """Hide from LLVM how an address came about.

    Otherwise it keeps one pointer per row and step, more than there are registers, instead of one
    pointer and the distances of the rows.
    """
    kind = ir.FunctionType(address.type, [address.type])
    return builder.asm(kind, "", "=r,0", [address], side_effect=False)


class _Matrix:
    """Vector loads and stores on a matrix argument of an intrinsic; positions are addresses."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, n: int) -> None:
        array = context.make_array(signature.args[n])(context, builder, args[n])
        self.builder = builder
        self.data = builder.ptrtoint(array.data, array.strides.type.element)
        self.strides = cgutils.unpack_tuple(builder, array.strides)
        self.number = context.get_data_type(signature.args[n].dtype)
        self.itemsize = context.get_abi_sizeof(self.number)
        self.vector = ir.VectorType(self.number, TILE.vector_bytes // self.itemsize)

    def vectors(self, i: Any, j: Any) -> list[Any]:
        """Addresses of the vectors of a tile's row that begins at [i, j]."""
        return self.vectors_from(self.at(i, j))

    def vectors_from(self, address: Any) -> list[Any]:
        """Addresses of the vectors of a tile's row."""
        offsets = (ir.Constant(address.type, v * TILE.vector_bytes) for v in range(TILE.vectors))
        return [self.builder.add(address, offset) for offset in offsets]

    def at(self, i: Any, j: Any) -> Any:
        """Address of the element [i, j]."""
        b = self.builder
        steps = (b.mul(n, stride) for n, stride in zip((i, j), self.strides, strict=True))
        return b.add(self.data, b.add(*steps))

    def load(self, address: Any, vector: Any = None) -> Any:
        """Read a vector."""
        pointer = self.builder.inttoptr(address, (vector or self.vector).as_pointer())
        loaded = self.builder.load(pointer)
        loaded.align = self.itemsize
        return loaded

    def store(self, address: Any, vector: Any) -> None:
        """Write a vector."""
        pointer = self.builder.inttoptr(address, vector.type.as_pointer())
        self.builder.store(vector, pointer).align = self.itemsize

    def splat(self, address: Any) -> Any:
        """Read one number into all lanes."""
        b = self.builder
        number = b.load(b.inttoptr(address, self.number.as_pointer()))
        undefined = ir.Constant(self.vector, ir.Undefined)
        single = b.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return _shuffle(b, single, undefined, [0] * self.vector.count)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """Compute ``x * y + z``, in one instruction where the CPU has it."""
        name = f"llvm.fmuladd.v{self.vector.count}f{8 * self.itemsize}"
        function = ir.FunctionType(self.vector, [self.vector] * 3)
        fmuladd = cgutils.get_or_insert_function(self.builder.module, function, name)
        return self.builder.call(fmuladd, [x, y, z])
