"""How a kernel gets its arguments from Python: as 64-bit words, behind the state of its launch.

Numba compiles a way in for every combination of types, which takes longer than many a kernel does.
Here one function, compiled once, writes any arguments down as words, in the order of the kernel's
parameters. What reads them again stands beside the kernel, where :class:`Kernel` puts it: the
*work* of one shard, a C function ``(state, shard, shards)``.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering
from numba.np.numpy_support import as_dtype

from minitransformer.backends.numba.launching import ARGUMENTS, FAILED, intrinsic

WHOLE, REAL = -1, -2
"""Kinds of numbers; the kind of an array is its number of axes."""
HEAD, ITEMSIZE = 5, 3
"""Of an array: words before its shape and strides, and which of them is the size of an element."""


def words_of(kind: int) -> int:
    """How many words an argument takes."""
    return 1 if kind < 0 else HEAD + 2 * kind


def kind_of(parameter: Any) -> tuple[int, int]:
    """Kind of a parameter, given its Numba type, and the size of an array's elements."""
    if isinstance(parameter, types.Array):
        return parameter.ndim, as_dtype(parameter.dtype).itemsize
    if isinstance(parameter, types.Integer | types.Boolean):
        return WHOLE, 0
    if isinstance(parameter, types.Float):
        return REAL, 0
    raise TypeError(f"kernels take arrays and numbers, not {parameter}")


@intrinsic
def unpack_array(context: Any, arguments: Any, n: Any, state: Any, at: Any) -> Any:
    """Write down an array of a tuple, whose address is given; returns 0 if it is one."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        api, item = _item(context, builder, values)
        words = context.make_array(signature.args[2])(context, builder, values[2]).data
        to = builder.bitcast(builder.gep(words, [values[3]]), api.voidptr)
        kind = ir.FunctionType(ir.IntType(32), [item.type, to.type])
        adapt = cgutils.get_or_insert_function(builder.module, kind, "numba_adapt_ndarray")
        return builder.call(adapt, [item, to])

    return types.int32(types.intp, types.intp, state, types.intp), generate


@intrinsic
def whole_number(context: Any, arguments: Any, n: Any) -> Any:
    """Integer or truth value of a tuple, whose address is given."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        api, item = _item(context, builder, values)
        return api.long_as_longlong(item)

    return types.int64(types.intp, types.intp), generate


@intrinsic
def real_number(context: Any, arguments: Any, n: Any) -> Any:
    """Bits of a float of a tuple, whose address is given."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        api, item = _item(context, builder, values)
        return builder.bitcast(api.float_as_double(item), ir.IntType(64))

    return types.int64(types.intp, types.intp), generate


def _item(context: Any, builder: Any, values: Any) -> Any:
    api = context.get_python_api(builder)
    kind = ir.FunctionType(api.pyobj, [api.pyobj, api.py_ssize_t])
    look_up = cgutils.get_or_insert_function(builder.module, kind, "PyTuple_GetItem")
    return api, builder.call(look_up, [builder.inttoptr(values[0], api.pyobj), values[1]])


class _Lower(Lower):  # type: ignore[misc]
    def lower(self) -> None:
        """Put the work of a shard beside the kernel."""
        super().lower()
        self.library.add_ir_module(_work(self.context, self.fndesc))


def work_of(kernel: Any) -> str:
    """Name of the work of a shard, given what Numba knows of a compiled kernel."""
    return f"work.{kernel.llvm_func_name}"


def _work(context: Any, kernel: Any) -> ir.Module:
    """Make the C function that reads the arguments, calls the kernel, and notes if it fails."""
    module, number = context.create_module("work"), ir.IntType(64)
    kind = context.call_conv.get_function_type(kernel.restype, kernel.argtypes)
    callee = ir.Function(module, kind, kernel.llvm_func_name)
    kind = ir.FunctionType(ir.VoidType(), [number.as_pointer(), number, number])
    work = ir.Function(module, kind, work_of(kernel))
    state, *shard = work.args
    builder = ir.IRBuilder(work.append_basic_block())
    values, at = [], ARGUMENTS
    for parameter in kernel.argtypes[: -len(shard)]:
        word = builder.gep(state, [ir.Constant(number, at)])
        values.append(_read(context, builder, parameter, word))
        at += words_of(kind_of(parameter)[0])
    status, _ = context.call_conv.call_function(
        builder, callee, kernel.restype, kernel.argtypes, [*values, *shard], attrs=("noinline",)
    )
    with builder.if_then(status.is_error):
        failed = builder.gep(state, [ir.Constant(number, FAILED)])
        builder.store(ir.Constant(number, 1), failed)
    builder.ret_void()
    return module


def _read(context: Any, builder: Any, parameter: Any, word: Any) -> Any:
    if isinstance(parameter, types.Boolean):
        return builder.icmp_unsigned("!=", builder.load(word), ir.Constant(word.type.pointee, 0))
    wide = types.float64 if isinstance(parameter, types.Float) else parameter
    kind = context.get_value_type(wide)
    value = builder.load(builder.bitcast(word, kind.as_pointer()))
    return context.cast(builder, value, wide, parameter)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):  # type: ignore[misc]
    _name = "lowering of a kernel"
    lowering_class = _Lower


class Kernel(CompilerBase):  # type: ignore[misc]
    """Numba's steps, of which the last puts the work of a shard beside the kernel."""

    def define_pipelines(self) -> list[PassManager]:
        """Replace one step."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state, "kernel")
        passes.passes = [
            (_Lowering if step is NativeLowering else step, text) for step, text in passes.passes
        ]
        passes.finalize()
        return [passes]
