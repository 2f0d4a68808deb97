"""``minitransformer backends``."""

import argparse
import contextlib
from collections.abc import Iterator

import minitransformer.ops  # noqa: F401  (fills the table of ops)
from minitransformer.backend import OPS, backends, use_backend
from minitransformer.errors import InputError


def main(arguments: list[str]) -> int:
    """Print which backend implements which op, as a Markdown table."""
    argparse.ArgumentParser(
        "minitransformer backends",
        description="Print a table of all ops and the backends that have a kernel of their own for "
        "them. Where a backend has none, numba and student fall back to numpy.",
    ).parse_args(arguments)
    print("\n".join(coverage_table()))
    return 0


def _has_kernels(name: str) -> bool:
    """Whether a backend has kernels, though it may lack what it runs on, or a student answers."""
    with contextlib.suppress(InputError), use_backend(name):
        pass  # its kernels are registered now
    return any(name in op.impls for op in OPS.values())


def coverage_table() -> Iterator[str]:
    """Lines of the op x backend table; an op's forward and backward share a row."""
    names = list(filter(_has_kernels, backends()))
    pairs: dict[str, set[str]] = {}
    for name, op in OPS.items():
        pair = name.removesuffix("_forward").removesuffix("_backward")
        pairs[pair] = pairs.get(pair, set(op.impls)) & set(op.impls)
    yield f"| op | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for pair, implemented in pairs.items():
        marks = ("yes" if name in implemented else "" for name in names)
        yield f"| `{pair}` | {' | '.join(marks)} |"
