"""Small PTX programs, written by hand: they need no compiler."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitransformer.emulator import GlobalMemory, Observer, PtxKernel, parse, run
from minitransformer.emulator.program import DTYPES, size_of

HEADER = ".version 9.5\n.target sm_80\n.address_size 64\n"


def kernel(body: str, parameters: int = 1, declarations: str = "") -> PtxKernel:
    """A kernel with 64-bit parameters p0, p1, ... in registers %p0, %p1, ... and many registers.

    Every line of ``body`` is a line of the source file ``body``, counted from 1.
    """
    given = ", ".join(f".param .u64 q{i}" for i in range(parameters))
    loads = "\n".join(f"ld.param.u64 %p{i}, [q{i}];" for i in range(parameters))
    lines = "\n".join(f".loc 1 {i} 1\n{line}" for i, line in enumerate(body.split("\n"), 1))
    text = f"""{HEADER}{declarations}
    .visible .entry k({given}) {{
    .reg .pred %c<8>; .reg .b16 %h<8>; .reg .b32 %r<16>; .reg .f32 %f<16>; .reg .b64 %d<16>;
    .reg .b64 %p<{parameters}>;
    {loads}
    mov.u32 %r0, %tid.x;
    {lines}
    ret;
    }}
    .file 1 "body"
    """
    return parse(text).kernels["k"]


def execute(
    program: PtxKernel,
    *arrays: np.ndarray | int,
    grid: Any = 1,
    block: Any = 32,
    observers: Sequence[Observer] = (),
    **options: Any,
) -> list[np.ndarray]:
    """Run a kernel on arrays, of which it gets the addresses; the arrays afterwards."""
    memory = GlobalMemory()
    parameters, places = [], []
    for array in arrays:
        if isinstance(array, np.ndarray):
            address = memory.allocate(array.nbytes)
            memory.write(address, array)
            places.append((address, array))
            parameters.append(address)
        else:
            parameters.append(array)
    run(program, grid, block, parameters, memory, observers, **options)
    return [memory.read(at, a.dtype, a.size).reshape(a.shape) for at, a in places]


def compute(
    text: str, sources: Sequence[tuple[str, np.ndarray]], targets: Sequence[str]
) -> list[np.ndarray]:
    """Execute instructions on registers: %a0, %a1, ... are given, %d0, %d1, ... come back.

    A type ``pred`` is passed as bool.
    """
    count = sources[0][1].size
    lines, declared, arrays = [], [], []
    everything = [("a", kind) for kind, _ in sources] + [("d", kind) for kind in targets]
    for at, (letter, kind) in enumerate(everything):
        number = at if letter == "a" else at - len(sources)
        name, stored = f"%{letter}{number}", "u32" if kind == "pred" else kind
        width = {"pred": "pred"}.get(kind, f"b{max(16, 8 * size_of(kind))}")
        typed = stored.replace("f16", "b16")
        declared += [f".reg .{width} {name};", f".reg .b64 %at{at};"]
        lines += [
            f"ld.param.u64 %at{at}, [q{at}];",
            f"mul.wide.u32 %offset, %thread, {size_of(stored)};",
            f"add.u64 %at{at}, %at{at}, %offset;",
        ]
        if letter == "a" and kind == "pred":
            lines += [f"ld.global.u32 %flag, [%at{at}];", f"setp.ne.u32 {name}, %flag, 0;"]
        elif letter == "a":
            lines += [f"ld.global.{typed} {name}, [%at{at}];"]
    lines.append(text)
    for number, kind in enumerate(targets):
        at, name = len(sources) + number, f"%d{number}"
        if kind == "pred":
            lines += [f"selp.u32 %flag, 1, 0, {name};", f"st.global.u32 [%at{at}], %flag;"]
        else:
            lines += [f"st.global.{kind.replace('f16', 'b16')} [%at{at}], {name};"]
    for kind, array in sources:
        arrays.append(np.asarray(array, np.uint32 if kind == "pred" else DTYPES[kind]))
    for kind in targets:
        arrays.append(np.zeros(count, np.uint32 if kind == "pred" else DTYPES[kind]))
    given = ", ".join(f".param .u64 q{i}" for i in range(len(arrays)))
    body = "\n".join(lines)
    program = parse(
        f"{HEADER}.visible .entry k({given}) {{ .reg .b32 %thread, %flag; .reg .b64 %offset;"
        f"{' '.join(declared)}\nmov.u32 %thread, %tid.x;\n{body}\nret; }}"
    ).kernels["k"]
    results = execute(program, *arrays, block=count)[len(sources) :]
    return [r != 0 if kind == "pred" else r for r, kind in zip(results, targets, strict=True)]
