"""What computes: BLAS, threads, Numba's layers and the backends."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator

from minitransformer import backend, toolchain
from minitransformer.doctor.report import (
    Finding,
    install_command,
    pip,
    unset_variable,
)

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def blas() -> Iterator[Finding]:
    """Which BLAS multiplies matrices, with which kernels, on how many threads."""
    import numpy as np

    build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    yield Finding("threads", "BLAS", f"{build['name']} {build['version']}")
    if importlib.util.find_spec("threadpoolctl"):
        for pool in importlib.import_module("threadpoolctl").threadpool_info():
            kernels = pool.get("architecture", "unknown")
            value = f"{pool['num_threads']} threads, {kernels} kernels"
            yield Finding("threads", pool["internal_api"], value)
    for name in THREAD_VARIABLES:
        yield Finding("threads", name, os.environ.get(name, "not set"))
    if forced := os.environ.get("OPENBLAS_CORETYPE"):
        value = f"{forced}: forces these kernels, perhaps slower ones than the processor's own"
        fix = unset_variable("OPENBLAS_CORETYPE")
        yield Finding("threads", "OPENBLAS_CORETYPE", value, "hint", fix)


def numba() -> Iterator[Finding]:
    """How many threads Numba would use, and through which layer."""
    config = importlib.import_module("numba").config
    yield Finding("threads", "NUMBA_NUM_THREADS", str(config.NUMBA_NUM_THREADS))
    layers = [name for name in ("tbb", "omp", "workqueue") if _has_layer(name)]
    value = f"{', '.join(layers)} (asked for: {config.THREADING_LAYER})"
    if {"tbb", "omp"} & set(layers):
        yield Finding("threads", "Numba layers", value)
    else:
        value += ": workqueue aborts the process when two threads enter at once"
        yield Finding("threads", "Numba layers", value, "hint", _install_layer())


def _has_layer(name: str) -> bool:
    module = name if name == "workqueue" else f"{name}pool"
    try:
        importlib.import_module(f"numba.np.ufunc.{module}")
    except ImportError:
        return False
    return True


def _install_layer() -> str:
    if sys.platform == "linux":
        return "sudo apt-get install libgomp1"
    return "brew install libomp" if sys.platform == "darwin" else f"{pip()} install tbb"


def backends() -> Iterator[Finding]:
    """Which backends there are, why not, and which one is chosen."""
    try:
        importlib.import_module("minitransformer.ops")
    except Exception as error:  # whatever it is, training will meet it too
        yield Finding("backends", "numpy", f"cannot be imported: {error}", "problem")
        return
    yield Finding("backends", "numpy", f"the textbook, {len(backend.OPS)} functions")
    yield packaged("numba", install_command())
    yield packaged("cuda", install_command("cuda"))
    yield from gpu()
    yield _chosen(os.environ.get("MINITRANSFORMER_BACKEND", "numpy"))


def gpu() -> Iterator[Finding]:
    """Judge the compiler for GPUs, which runs without one, and the driver."""
    if missing := toolchain.compiler_complaint():
        yield Finding("backends", "CUDA compiler", missing.what, "hint", missing.remedy)
    else:
        versions = [f"{name} {toolchain.installed(name)}" for name in toolchain.COMPILER]
        yield Finding("backends", "CUDA compiler", ", ".join(versions))
    if missing := toolchain.driver_complaint():
        yield Finding("backends", "GPU", missing.what, "hint", missing.remedy)
    elif driver := toolchain.driver():
        major, minor = driver.cuda
        yield Finding("backends", "GPU", f"{driver.gpus}, with a driver for CUDA {major}.{minor}")


def packaged(name: str, fix: str) -> Finding:
    """Judge a backend that has a folder of its own."""
    if name not in backend.backends():
        return Finding("backends", name, "not built in this version")
    try:
        importlib.import_module(f"minitransformer.backends.{name}")
    except Exception as error:  # a driver raises anything
        return Finding("backends", name, f"cannot be imported: {error}", "hint", fix)
    count = sum(name in op.impls for op in backend.OPS.values())
    return Finding("backends", name, f"kernels for {count} of {len(backend.OPS)} functions")


def _chosen(name: str) -> Finding:
    known = backend.backends()
    if name in known:
        return Finding("backends", "chosen", name)
    value = f"MINITRANSFORMER_BACKEND is {name}, expected one of {', '.join(known)}"
    fix = unset_variable("MINITRANSFORMER_BACKEND")
    return Finding("backends", "chosen", value, "problem", fix)
