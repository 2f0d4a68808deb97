"""How kernels are compiled, and how they share the cores.

* :func:`compiled` keeps the order of additions as written, and may only contract ``a * b + c``
  into one instruction: for polynomials and whatever must round in one way.
* :func:`reassociated` may also reorder additions, so that a sum runs in vector lanes. NaN and
  infinity keep their meaning in both; masked softmax depends on it.
* :func:`sharded` lets Python call such a function on all cores at once.

The work is cut into shards. Each writes what no other writes, or its own partial sum, and the
partial sums are added in the order of the shards. So the results are the same bits whatever the
number of threads and whichever core does what: a core that is done takes the next shard, and one
that another program holds up takes fewer.

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

from minitransformer.backends.numba import arguments
from minitransformer.backends.numba.arguments import (
    ITEMSIZE,
    REAL,
    WHOLE,
    real_number,
    unpack_array,
    whole_number,
)
from minitransformer.backends.numba.launching import (
    ARGUMENTS,
    DONE,
    FAILED,
    HANDED_OUT,
    LOOP,
    STATE,
    call,
    count,
    look,
    run,
)

Array = np.ndarray[Any, Any]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

SHARDS = 16
"""Parts into which work is cut where the cut decides the order of a sum."""
SHARDS_PER_THREAD = 4
"""Parts for each core where any cut gives the same bits."""
SMALL = 16_384
"""Elements below which waking the other cores costs more than they save."""

_COMMON: dict[str, Any] = {"cache": True, "error_model": "numpy"}
_UNSEEN_BY_PYTHON = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of what only compiled code calls: the way there from Python takes long to compile."""

if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_pool = threading.Lock()


def compiled(function: Kernel) -> Kernel:
    """Compile for one core, adding in the order that is written."""
    return numba.njit(fastmath={"contract"}, **_COMMON, **_UNSEEN_BY_PYTHON)(function)  # type: ignore[no-any-return]


def reassociated(function: Kernel) -> Kernel:
    """Compile for one core; sums may be reordered into vector lanes."""
    fastmath = {"reassoc", "contract", "arcp", "afn", "nsz"}
    return numba.njit(fastmath=fastmath, **_COMMON, **_UNSEEN_BY_PYTHON)(function)  # type: ignore[no-any-return]


def seen_by_python(function: Kernel) -> Kernel:
    """Let Python call a compiled function, too: the way there takes up to a second to compile."""
    function.targetoptions.update(dict.fromkeys(_UNSEEN_BY_PYTHON, False))  # type: ignore[attr-defined]
    return function


def inlined(function: Kernel) -> Kernel:
    """Compile as a part of each :func:`compiled` function that calls it, and not by itself.

    For what has one caller that is worth the second of compiling it by itself first.
    """
    return numba.njit(inline="always")(function)  # type: ignore[no-any-return]


@compiled
def part_of(size: int, shard: int, shards: int) -> slice:
    """The part of ``range(size)`` that belongs to one of the shards."""
    return slice(size * shard // shards, size * (shard + 1) // shards)


def sharded(
    any_strides: int = 0,
    any_split: bool = False,
    steps: Callable[..., int] = lambda *args: 1,
    results: int = 0,
    shards: int = SHARDS,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let Python call a compiled function for all its shards.

    The function's last two parameters are ``shard`` and ``shards``, of which this is one; callers
    leave them out. Arguments are arrays, whole numbers, truth values and floats, the first one an
    array. On its dtype all other types depend: there is one compilation for each. Little work is
    done by one core.

    One such function runs at a time: Python threads that train at once take turns. Each has all
    the cores meanwhile, and the simplest of Numba's pools kills a process in which two enter.

    Parameters
    ----------
    any_strides
        The number of leading arguments that may have any strides and be read-only. All others are
        C-contiguous and writeable.
    any_split
        The results do not depend on the number of shards, so that it may follow that of cores.
    steps
        Their number, given the arguments. What has several steps is called for the shards of the
        first one, and when all are done for those of the second, whose numbers follow on:
        ``divmod(shard, shards)`` is a step and its shard.
    results
        The number of last arguments that are written and may have any strides.
    shards
        Parts into which the work is cut, unless any split will do.

    Raises
    ------
    TypeError
        If an array that has to be C-contiguous is not, or if there is none where one has to be, or
        its elements have another size.
    MemoryError
        If a shard fails; nothing else can go wrong in one.
    """

    def decorate(kernel: Any) -> Callable[..., None]:
        compiled_for: dict[Any, tuple[Callable[..., None], int, Array, int]] = {}
        kernel._compiler.pipeline_class = arguments.Kernel

        @functools.wraps(kernel.py_func)
        def in_turn(*args: Any) -> None:
            dtype = args[0].dtype
            for arg in args[any_strides : len(args) - results]:
                if type(arg) is np.ndarray and not arg.flags.c_contiguous:
                    raise TypeError(
                        f"{kernel.__name__}: strides {arg.strides} of {arg.shape}, expected C order"
                    )
            with _pool:
                if dtype not in compiled_for:
                    compiled_for[dtype] = _compile(kernel, _types(args, any_strides, results))
                enter, work, kinds, words = compiled_for[dtype]
                threads = numba.get_num_threads()
                is_alone = threads == 1 or (args[0].size < SMALL and not any_split)
                any_number = 1 if is_alone else threads * SHARDS_PER_THREAD
                parts = any_number if any_split else shards
                state = np.zeros(words, np.int64)
                loop = _loop(is_alone)
                enter(loop, work, steps(*args), parts, threads, state, id(args), kinds)
            if state[FAILED]:
                raise MemoryError(f"{kernel.__name__}: no memory is left for its buffers")

        return in_turn

    return decorate


def _types(args: tuple[Any, ...], any_strides: int, results: int) -> tuple[Any, ...]:
    """Types of the arguments: the first ones read-only, these and the last ones of any layout."""
    kinds = [numba.typeof(arg) for arg in args]
    for n in range(any_strides):
        kinds[n] = _of_any_layout(kinds[n], readonly=True)
    for n in range(len(kinds) - results, len(kinds)):
        kinds[n] = _of_any_layout(kinds[n], readonly=False)
    return tuple(kinds)


def _of_any_layout(kind: Any, readonly: bool) -> Any:
    return types.Array(kind.dtype, kind.ndim, "A", readonly=readonly, aligned=False)


def _compile(
    kernel: Any, parameters: tuple[Any, ...]
) -> tuple[Callable[..., None], int, Array, int]:
    """Compile the way from Python to kernels, and a shard's work.

    Returns
    -------
    :func:`_enter`; the address of the work; the kinds of its arguments; the words of a launch.
    """
    signature = (*parameters, types.intp, types.intp)
    kernel.compile(signature)
    result = kernel.overloads[signature]
    work = result.library.get_pointer_to_function(arguments.work_of(result.fndesc))
    kinds = np.array([arguments.kind_of(kind) for kind in parameters], np.int64)
    return _entry(), work, kinds, ARGUMENTS + sum(map(arguments.words_of, kinds[:, 0]))


@functools.cache
def _entry() -> Callable[..., None]:
    """Compile :func:`_enter`.

    To look for the version that fits the arguments would take Numba longer than all else.
    """
    entry: Any = _enter
    signature = (*(types.intp,) * 5, STATE, types.intp, types.int64[:, ::1])
    entry.compile(signature)
    return entry.overloads[signature].entry_point  # type: ignore[no-any-return]


def _address(function: Any, signature: tuple[Any, ...]) -> int:
    function.compile(signature)
    result = function.overloads[signature]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)  # type: ignore[no-any-return]


def compile_loops() -> None:
    """Compile what all kernels share."""
    for is_alone in (True, False):
        _loop(is_alone)


@functools.cache
def _loop(is_alone: bool) -> int:
    """Address of one of the two loops over shards; each is compiled once, for all kernels."""
    return _address(_take_turns if is_alone else _take_turns_on_all_cores, LOOP)


@compiled
def _take_turns(work: int, steps: int, shards: int, threads: int, state: Array) -> None:
    for shard in range(steps * shards):
        call(work, state, shard, shards)


@numba.njit(parallel=True, **_COMMON, **_UNSEEN_BY_PYTHON)
def _take_turns_on_all_cores(
    work: int, steps: int, shards: int, threads: int, state: Array
) -> None:
    """Whoever waits for a step waits for shards that others are busy with, never for one to come.

    So it does not matter how many cores do come.
    """
    for _ in numba.prange(threads):
        shard = count(state, HANDED_OUT)
        while shard < steps * shards:
            while look(state, DONE) < shard // shards * shards:
                pass
            call(work, state, shard, shards)
            count(state, DONE)
            shard = count(state, HANDED_OUT)


words_of = compiled(arguments.words_of)


@numba.njit(no_cfunc_wrapper=True, **_COMMON)
def _enter(
    loop: int,
    work: int,
    steps: int,
    shards: int,
    threads: int,
    state: Array,
    args: int,
    kinds: Array,
) -> None:
    """Write down the arguments, a tuple at an address, and run the loop over shards."""
    at = ARGUMENTS
    for n in range(len(kinds)):
        kind, itemsize = kinds[n, 0], kinds[n, 1]
        if kind == WHOLE:
            state[at] = whole_number(args, n)
        elif kind == REAL:
            state[at] = real_number(args, n)
        elif unpack_array(args, n, state, at) or state[at + ITEMSIZE] != itemsize:
            raise TypeError("an argument is not of the type that the kernel was compiled for")
        at += words_of(kind)
    run(loop, work, steps, shards, threads, state)
