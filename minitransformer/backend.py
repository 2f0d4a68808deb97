"""The backend seam: every op is one table of implementations, and a call is one hop.

The text in ``minitransformer/ops`` is the definition and the ``numpy`` backend. A faster version
registers itself under the same signature with :func:`kernel`; the active backend is chosen by
:func:`set_backend`, :func:`use_backend` or the environment variable ``MINITRANSFORMER_BACKEND``.
"""

import functools
import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import minitransformer.backends

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Op(Protocol[P, R_co]):
    """A dispatchable function; ``impls`` maps each backend's name to its implementation."""

    __name__: str
    impls: dict[str, Callable[..., Any]]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


OPS: dict[str, Op[..., Any]] = {}
"""Every op by name, in the order of definition."""

COMPOSED: dict[str, Op[..., Any]] = {}
"""What is composed of ops, or of plain numbers, by name: it runs in every backend as it is."""

_WITHOUT_FALLBACK = {"cuda", "opaque"}  # their arrays do not live in host memory
_cache_makers: dict[type, str] = {}
_with_own_cache: set[tuple[str, str]] = set()  # (backend, op) that take no other cache
_active: str | None = None


def op(
    check: Callable[..., None] | None = None, composed: bool = False
) -> Callable[[Callable[P, R]], Op[P, R]]:
    """Make a textbook function dispatchable.

    Parameters
    ----------
    check
        Takes the function's arguments and raises what is wrong with them. It runs once, here,
        so that kernels need no checks of their own.
    composed
        Its text calls ops only, or computes with plain numbers, so that it runs in every backend
        as it is; a version of its own can take its place all the same.
    """

    def decorate(textbook: Callable[P, R]) -> Op[P, R]:
        impls: dict[str, Callable[..., Any]] = {"numpy": textbook}
        name = textbook.__name__
        if check is not None:
            check.__qualname__ = name  # whom Python names when arguments are missing

        @functools.wraps(textbook)
        def forward(*args: P.args, **kwargs: P.kwargs) -> R:
            if check is not None:
                check(*args, **kwargs)
            return cast(R, _implementation(impls, get_backend(), name)(*args, **kwargs))

        @functools.wraps(textbook)
        def backward(dy: Any, cache: Any) -> Any:
            maker = _cache_makers.get(type(cache))
            if maker is not None:  # a cache of its own, which only its maker understands
                return _implementation(impls, maker, name)(dy, cache)
            if not isinstance(cache, cache_type):
                raise TypeError(
                    f"{name}: cache is a {type(cache).__name__}, expected the "
                    f"{cache_type.__name__} that forward returned"
                )
            if check is not None:
                check(dy, cache)
            active = get_backend()
            backend = "numpy" if (active, name) in _with_own_cache else active
            return _implementation(impls, backend, name)(dy, cache)

        parameters = inspect.signature(textbook).parameters
        takes_cache = [*parameters][1:] == ["cache"]
        cache_type: Any = parameters["cache"].annotation if takes_cache else None
        dispatchable = cast(Op[P, R], backward if takes_cache else forward)
        dispatchable.impls = impls
        (COMPOSED if composed else OPS)[name] = dispatchable
        return dispatchable

    return decorate


def _implementation(
    impls: dict[str, Callable[..., Any]], backend: str, name: str
) -> Callable[..., Any]:
    if backend in impls:
        return impls[backend]
    lacks_it = backend in _WITHOUT_FALLBACK and name not in COMPOSED
    if lacks_it or (backend, name) in _with_own_cache:
        raise NotImplementedError(f"{name} has no {backend} kernel; it has {', '.join(impls)}")
    return impls["numpy"]


F = TypeVar("F", bound=Callable[..., Any])


def kernel(backend: str, target: Op[..., Any], cache: type | None = None) -> Callable[[F], F]:
    """Register the decorated function as ``backend``'s implementation of the op ``target``.

    Parameters
    ----------
    backend
        Name of the backend, such as ``"numba"``.
    target
        The op, for example ``ops.layer_norm_forward``.
    cache
        The NamedTuple that this backend's forward returns if it is not the textbook's; backward
        then always runs in this backend, unchecked. Register both halves of such a pair.

    Raises
    ------
    TypeError
        If the parameters' names or defaults differ from the textbook's.
    """

    def register(function: F) -> F:
        if backend == "numpy":
            raise ValueError(f"numpy is the textbook; give the kernel of {target.__name__} a name")
        expected, got = _parameters(target), _parameters(function)
        if got != expected:
            raise TypeError(
                f"{backend} kernel of {target.__name__}: parameters are {', '.join(got)}, "
                f"expected {', '.join(expected)}, with the textbook's defaults"
            )
        target.impls[backend] = function
        _with_own_cache.discard((backend, target.__name__))
        if cache is not None:
            _cache_makers[cache] = backend
            _with_own_cache.add((backend, target.__name__))
        return function

    return register


def forget(backend: str) -> None:
    """Remove all that was registered as a backend's."""
    for name, entry in {**OPS, **COMPOSED}.items():
        entry.impls.pop(backend, None)
        _with_own_cache.discard((backend, name))


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Names and defaults; a parameter without a default has inspect's own mark."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


def get_backend() -> str:
    """Name of the active backend; the first call reads ``MINITRANSFORMER_BACKEND``."""
    if _active is None:
        set_backend(os.environ.get("MINITRANSFORMER_BACKEND") or "numpy")
    return cast(str, _active)


def set_backend(name: str) -> None:
    """Select the backend for all ops called from now on, importing it on first use.

    Where its package has a function ``prepare``, this is called whenever it is selected.

    Raises
    ------
    ValueError
        If there is no backend of this name.
    """
    global _active
    if name in _packaged():
        module = importlib.import_module(f"minitransformer.backends.{name}")
        getattr(module, "prepare", lambda: None)()
    elif name != "numpy" and name not in backends():
        raise ValueError(f"backend {name!r} does not exist; choose one of {', '.join(backends())}")
    _active = name


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Select a backend for the duration of a ``with`` block."""
    before = get_backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def backends() -> list[str]:
    """Names that :func:`set_backend` accepts: packaged backends and those with a kernel."""
    entries = (*OPS.values(), *COMPOSED.values())
    registered = {name for entry in entries for name in entry.impls}
    return sorted(registered | _packaged())


@functools.cache
def _packaged() -> frozenset[str]:
    return frozenset(
        module.name for module in pkgutil.iter_modules(minitransformer.backends.__path__)
    )
