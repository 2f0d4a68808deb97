"""PTX text becomes kernels; what is not understood is named with its line."""

import pytest

from minitransformer.emulator import EmulationError, UnsupportedError, parse
from minitransformer.emulator.program import Address, Location
from tests.emulator_programs import HEADER, execute, kernel

import numpy as np  # isort: skip


def test_an_instruction_has_all_its_parts() -> None:
    (step,) = [i for i in kernel("@!%c1 ld.global.nc.v2.f32 {%f1, _}, [%d1+-8];").code if i.guard]
    assert (step.opcode, step.modifiers) == ("ld", ("global", "nc", "v2", "f32"))
    assert step.operands == (("%f1", "_"), Address("%d1", -8))
    assert step.guard == "!%c1"
    assert step.location == Location("body", 1)
    assert "body:1" in str(step)


def test_parameters_variables_and_labels() -> None:
    declarations = """
    .common .global .align 8 .u64 unused;
    .global .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 0, 0, 0};
    .const .align 4 .f32 half = 0f3F000000;
    .visible .shared .align 16 .b8 tile[128];
    .extern .shared .align 8 .b8 rest[];
    """
    body = "mov.u64 %d1, table;\nmov.u64 %d2, tile;\n$L__1:\nmov.u64 %d3, half;\nmov.u64 %d4, rest;"
    k = kernel(body, 2, declarations)
    assert [p.name for p in k.parameters] == ["q0", "q1"]
    assert k.code[k.labels["$L__1"]].text == "mov.u64 %d3, half"
    named = {v.name: v for v in k.variables_of("global", "const", "shared")}
    assert set(named) == {"table", "half", "tile", "rest"}
    assert named["table"].values == bytes([1, 0, 0, 0, 2, 0, 0, 0])
    assert named["half"].values == np.float32(0.5).tobytes()
    assert (named["tile"].nbytes, named["tile"].align, named["rest"].count) == (128, 16, None)


def test_a_block_hides_registers_outside() -> None:
    body = """
    mov.u32 %r1, 5;
    { .reg .b32 %r1, low;
    mov.u32 %r1, 7; mov.u32 low, 1; add.u32 %r2, %r1, low; }
    { .reg .b32 %temp; mov.b64 {%temp, %r3}, 12884901892; }
    mad.lo.u32 %r1, %r2, %r3, %r1;
    st.global.u32 [%p0], %r1;"""
    (result,) = execute(kernel(body), np.zeros(1, np.uint32), block=1)
    assert result == 8 * 3 + 5


def test_called_functions_stand_where_they_are_called() -> None:
    declarations = """
    .func (.param .align 8 .b8 result[16]) split (.param .b64 wide, .param .b32 add);
    .func (.param .align 8 .b8 result[16]) split (
        .param .b64 wide, .param .b32 add
    ) {
    .local .align 4 .b8 depot[8];
    .reg .pred %c<2>; .reg .b32 %r<4>; .reg .b64 %d<4>;
    ld.param.b64 %d1, [wide];
    ld.param.b32 %r1, [add];
    mov.u64 %d2, depot;
    st.local.b64 [%d2], %d1;
    setp.eq.u32 %c1, %r1, 0;
    @%c1 bra $L__same;
    ld.local.u32 %r2, [%d2];
    add.u32 %r2, %r2, %r1;
    st.param.b32 [result+0], %r2;
    bra $L__high;
    $L__same:
    st.param.b32 [result+0], 99;
    $L__high:
    ld.local.u32 %r3, [%d2+4];
    st.param.b32 [result+8], %r3;
    ret;
    }
    """
    call = """{{ .param .b64 a; .param .b32 b; .param .align 8 .b8 back[16];
    st.param.b64 [a+0], 8589934599; st.param.b32 [b+0], {0};
    call.uni (back), split, (a, b);
    ld.param.b32 %r1, [back+0]; ld.param.b32 %r2, [back+8]; }}
    mul.wide.u32 %d1, %r0, 16; add.u64 %d1, %d1, %p0;
    st.global.v2.u32 [%d1+{1}], {{%r1, %r2}};"""
    body = call.format("%r0", 0) + call.format("5", 8)
    (result,) = execute(kernel(body, 1, declarations), np.zeros((3, 4), np.uint32), block=3)
    assert result.tolist() == [[99, 2, 12, 2], [8, 2, 12, 2], [9, 2, 12, 2]]


def test_lines_of_inlined_functions_are_those_of_the_kernel() -> None:
    text = f"""{HEADER}.visible .entry k() {{
    .loc 1 7 0
    .loc 2 99 1, function_name $L__info, inlined_at 1 8 3
    ret;
    .loc 1 0 1
    ret;
    }}
    .file 1 "mine.py"
    .file 2 "library.py"
    .section .debug_str {{ .b8 1; }}"""
    first, second = parse(text).kernels["k"].code
    assert str(first.location) == "mine.py:8"
    assert str(second.location) == "mine.py:8"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("wgmma.mma.f32 %f1, %f2;", r"`wgmma.mma.f32 %f1, %f2` \(body:1, line \d+ of the PTX\)"),
        ("add.rn.bf16 %h1, %h2, %h3;", "add.rn.bf16"),
        ("cvt.rz.bf16.f32 %h1, %f1;", "to bf16 from f32 there is no such conversion"),
        ("cvt.rn.bf16x2.f32 %h1, %f1, %f2;", "types outside the subset"),
        ("mov.u32 %r1, %clock;", "%clock"),
        ("bar.sync 0, 64;", "part of a block"),
        ("add.u32 %r1, %missing, 1;", "'%missing' is no register"),
        ("atom.global.mul.u32 %r1, [%p0], 2;", "this update is not known"),
    ],
)
def test_what_is_outside_the_subset_is_named(body: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        execute(kernel(body), 0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("bra $L__nowhere;", "label that does not exist"),
        ("$T: .branchtargets $L__nowhere;\nbrx.idx %r0, $T;", "label that does not exist"),
        ("%r1 = 5;", r"line \d+ of the PTX is not understood"),
        ("call.uni (%r1), vprintf, (%r2);", "vprintf, whose code is not in the PTX"),
    ],
)
def test_what_is_not_understood_is_named(body: str, message: str) -> None:
    with pytest.raises(EmulationError, match=message):
        kernel(body)
