"""How much of a matrix product the registers of this machine's CPU hold."""

import platform
from collections.abc import Set
from typing import NamedTuple

import llvmlite.binding
import numba


class Tile(NamedTuple):
    """How much of a product the registers hold."""

    rows: int
    vectors: int
    vector_bytes: int


def choose_tile(features: Set[str], machine: str) -> Tile:
    """Return the tile that fills the registers of a CPU, by LLVM's names of its features."""
    if "avx512f" in features:
        return Tile(14, 2, 64)  # of 32 registers
    if {"avx2", "fma"} <= features:
        return Tile(6, 2, 32)  # of 16
    if machine in ("arm64", "aarch64"):
        return Tile(6, 4, 16)  # of 32
    return Tile(4, 2, 16)  # of 16, where a product takes one of its own


def _features() -> Set[str]:
    """Features that Numba compiles for; ``NUMBA_CPU_NAME=generic`` leaves the narrowest."""
    forced = numba.config.CPU_FEATURES
    if forced is not None:
        return {name.lstrip("+") for name in forced.split(",") if not name.startswith("-")}
    return {name for name, present in llvmlite.binding.get_host_cpu_features().items() if present}


TILE = choose_tile(_features(), platform.machine().lower())
ROWS = TILE.rows
"""Rows of a tile."""
ROW_BYTES = TILE.vectors * TILE.vector_bytes
"""Size of a tile's row; divided by the size of a number, its columns."""
VECTOR_BYTES = TILE.vector_bytes
"""Size of a vector."""
