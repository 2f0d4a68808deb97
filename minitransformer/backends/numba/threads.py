"""How kernels are compiled, and how they share the cores.

* :func:`compiled` keeps the order of additions as written, and may only contract ``a * b + c``
  into one instruction: for polynomials and whatever must round in one way.
* :func:`reassociated` may also reorder additions, so that a sum runs in vector lanes. NaN and
  infinity keep their meaning in both; masked softmax depends on it.
* :func:`parallel` is for a function that Python calls and that spreads ``prange(SHARDS)`` over
  the cores.
* :func:`sharded` is for one that does the work of a single shard, for arrays of any strides. It is
  compiled apart from the loop over shards, which saves more than half of the time for large ones.

A parallel loop runs over shards: each writes what no other writes, or its own partial sum, and the
partial sums are added in the order of the shards. So the results are the same bits whatever the
number of threads, as long as the number of partial sums is fixed.

Numba's pool is the only one: BLAS is not called in this backend, as two pools that take turns cost
ten times the work. Set ``NUMBA_NUM_THREADS=1`` for a serial run. A process that has run a parallel
kernel must not be forked; start workers with the ``spawn`` method.
"""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Array = np.ndarray[Any, Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

SHARDS = 16
"""Parts into which a parallel loop is cut; partial sums are reduced over this many."""

_COMMON: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_REASSOCIATED = {"reassoc", "contract", "arcp", "afn", "nsz"}
_ONLY_PRANGE = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)

if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic
_pool = threading.Lock()


def compiled(function: Kernel) -> Kernel:
    """Compile for one core, adding in the order that is written."""
    return numba.njit(fastmath={"contract"}, **_COMMON)(function)  # type: ignore[no-any-return]


def reassociated(function: Kernel) -> Kernel:
    """Compile for one core; sums may be reordered into vector lanes."""
    return numba.njit(fastmath=_REASSOCIATED, **_COMMON)(function)  # type: ignore[no-any-return]


def parallel(function: Kernel) -> Kernel:
    """Compile with ``prange`` over all cores, for Python to call.

    One parallel kernel runs at a time: Python threads that train at once take turns. Each has all
    the cores meanwhile, and the simplest of Numba's pools kills a process in which two enter.
    """
    kernel = _multicore(function)

    @functools.wraps(function)
    def in_turn(*args: Any) -> Any:
        with _pool:
            return kernel(*args)

    return in_turn  # type: ignore[return-value]


def sharded(
    inputs: int, any_split: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile the work of one shard, and let Python call it for all of them at once.

    The function's last two parameters are ``shard`` and ``shards``, of which this is one; callers
    leave them out.

    Parameters
    ----------
    inputs
        The number of leading arguments that are arrays to be read. They may have any strides, and
        are compiled for once per dtype: that of the first, on which all other types depend.
    any_split
        The results do not depend on the number of shards: there is one for every thread.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        kernel = compiled(function)
        loop = _multicore(_all_shards)
        addresses: dict[Any, int] = {}

        @functools.wraps(function)
        def in_turn(*args: Any) -> None:
            dtype = args[0].dtype
            with _pool:
                if dtype not in addresses:
                    addresses[dtype] = _compile(kernel, loop, _types(args, inputs))
                shards = numba.get_num_threads() if any_split else SHARDS
                loop(addresses[dtype], shards, args)

        return in_turn

    return decorate


def _multicore(function: Callable[..., Any]) -> Any:
    return numba.njit(parallel={**_ONLY_PRANGE, "prange": True}, fastmath=_REASSOCIATED, **_COMMON)(
        function
    )


def _all_shards(address: int, shards: int, args: tuple[Any, ...]) -> None:
    for shard in numba.prange(shards):
        _call(address, args, shard, shards)


@_intrinsic
def _call(context: Any, address: Any, args: Any, shard: Any, shards: Any) -> Any:
    """Call the compiled function at an address: to LLVM a stranger, whose code it leaves alone."""
    parameters = (*args.types, types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        convention = context.call_conv
        kind = convention.get_function_type(types.none, parameters)
        function = builder.inttoptr(values[0], kind.as_pointer())
        arguments = [*cgutils.unpack_tuple(builder, values[1]), *values[2:]]
        status, _ = convention.call_function(builder, function, types.none, parameters, arguments)
        with builder.if_then(status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(types.intp, args, types.intp, types.intp), generate


def _types(args: tuple[Any, ...], inputs: int) -> tuple[Any, ...]:
    """Types of the arguments, the first ones read-only, of any layout, and not taken as aligned.

    No argument is exactly of that type; Numba trips over an exact match among converted ones.
    """
    exact = [numba.typeof(arg) for arg in args]
    general = [
        types.Array(kind.dtype, kind.ndim, "A", readonly=True, aligned=False)
        for kind in exact[:inputs]
    ]
    return (*general, *exact[inputs:])


def _compile(kernel: Any, loop: Any, parameters: tuple[Any, ...]) -> int:
    """Compile a shard's work and the loop that calls it; returns the address of the former."""
    signature = (*parameters, types.intp, types.intp)
    kernel.compile(signature)
    loop.disable_compile(False)
    loop.compile((types.intp, types.intp, types.Tuple(parameters)))
    loop.disable_compile()
    result = kernel.overloads[signature]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)  # type: ignore[no-any-return]
