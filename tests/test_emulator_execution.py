"""Memory, branches, barriers and warps, in PTX written by hand."""

import numpy as np
import pytest

from minitransformer.emulator import (
    BarrierDivergenceError,
    EmulationError,
    GlobalMemory,
    OutOfBoundsError,
    run,
)
from tests.emulator_programs import execute, kernel

PLACE = "mul.wide.u32 %d1, %r0, 4; add.u64 %d1, %d1, %p0;"
"""%d1 becomes the address of the thread's own 32-bit word of the first array."""
SHARED = ".visible .shared .align 16 .b8 tile[128];\n.visible .shared .align 16 .b8 after[16];"


def zeros(count: int = 32) -> np.ndarray:
    return np.zeros(count, np.uint32)


# ---- where a thread is -------------------------------------------------------------------


def test_threads_know_their_place() -> None:
    names = ["tid", "ntid", "ctaid", "nctaid"]
    stores = "".join(
        f"mov.u32 %r4, %{name}.{axis}; st.global.u32 [%d1+{4 * (3 * i + j)}], %r4;\n"
        for i, name in enumerate(names)
        for j, axis in enumerate("xyz")
    )
    body = f"""
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mad.lo.u32 %r1, %r2, 3, %r1;
    mov.u32 %r2, %tid.z; mad.lo.u32 %r1, %r1, 2, %r2;
    mov.u32 %r2, %tid.y; mad.lo.u32 %r1, %r1, 2, %r2; mad.lo.u32 %r1, %r1, 6, %r0;
    mul.wide.u32 %d1, %r1, 48; add.u64 %d1, %d1, %p0;
    {stores}"""
    (places,) = execute(kernel(body), np.zeros((144, 12), np.uint32), grid=(3, 2), block=(6, 2, 2))
    expected = [
        [x, y, z, 6, 2, 2, i, j, 0, 3, 2, 1]
        for j in range(2)
        for i in range(3)
        for z in range(2)
        for y in range(2)
        for x in range(6)
    ]
    assert places.tolist() == expected


def test_lanes_know_their_warp() -> None:
    body = f"{PLACE} mov.u32 %r1, %laneid; mov.u32 %r2, %warpid; mad.lo.u32 %r1, %r2, 100, %r1;"
    body += "mov.u32 %r3, %lanemask_lt; popc.b32 %r3, %r3; mad.lo.u32 %r1, %r3, 1000, %r1;"
    (result,) = execute(kernel(body + "st.global.u32 [%d1], %r1;"), zeros(70), block=70)
    assert result.tolist() == [i % 32 * 1001 + i // 32 * 100 for i in range(70)]


def test_lanes_know_who_stands_where() -> None:
    body = "mul.wide.u32 %d1, %r0, 20; add.u64 %d1, %d1, %p0;"
    for i, name in enumerate(["lt", "le", "eq", "ge", "gt"]):
        body += f"mov.u32 %r1, %lanemask_{name}; st.global.u32 [%d1+{4 * i}], %r1;"
    (masks,) = execute(kernel(body), np.zeros((32, 5), np.uint32))
    for lane in range(32):
        own, below, every = 1 << lane, (1 << lane) - 1, (1 << 32) - 1
        assert masks[lane].tolist() == [below, below + own, own, every - below, every - below - own]


@pytest.mark.parametrize("blocks", [1, 7, 257])
def test_every_block_runs_once_whatever_their_number(blocks: int) -> None:
    body = "mov.u32 %r1, %ctaid.x; mad.lo.u32 %r1, %r1, 96, %r0; mul.wide.u32 %d1, %r1, 4;"
    body += "add.u64 %d1, %d1, %p0; atom.global.add.u32 %r2, [%d1], 1;"
    (counts,) = execute(kernel(body), zeros(blocks * 96), grid=blocks, block=96)
    assert (counts == 1).all()


def test_parameters_of_all_kinds() -> None:
    k = kernel("cvt.rn.f32.s64 %f1, %p1; st.global.f32 [%p0], %f1;", 2)
    assert execute(k, np.zeros(1, np.float32), -3, block=1)[0] == -3
    with pytest.raises(ValueError, match="1 parameters, k expects 2"):
        run(k, 1, 1, [0], GlobalMemory())


@pytest.mark.parametrize(("grid", "block"), [(0, 1), (1, 1025), ((1, 1, 1, 1), 1), (1, (2, -1))])
def test_impossible_shapes_are_refused(grid: object, block: object) -> None:
    with pytest.raises(ValueError, match="run: "):
        run(kernel(""), grid, block, [0], GlobalMemory())  # type: ignore[arg-type]


# ---- memory ------------------------------------------------------------------------------


def test_vectors_and_narrow_values_are_moved() -> None:
    body = """
    ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%p0];
    st.global.v2.f32 [%p0+16], {%f4, %f3};
    ld.global.s8 %h1, [%p0+24];
    ld.global.u8 %h2, [%p0+24];
    st.global.s16 [%p0+26], %h1;
    st.global.u16 [%p0+28], %h2;
    st.global.u8 [%p0+30], %h2;"""
    data = np.zeros(32, np.uint8)
    data[:16] = np.arange(4, dtype=np.float32).view(np.uint8)
    data[24] = 0xFE
    (result,) = execute(kernel(body), data, block=1)
    assert result[16:24].view(np.float32).tolist() == [3, 2]
    assert result[24:32].view(np.int16).tolist() == [0xFE, -2, 0xFE, 0xFE]


def test_shared_memory_belongs_to_a_block_and_local_memory_to_a_thread() -> None:
    declarations = SHARED + "\n.local .align 4 .b8 own[8];"
    body = """
    mov.u32 %r1, %ctaid.x; mad.lo.u32 %r5, %r1, 32, %r0;
    mov.u64 %d2, tile; mul.wide.u32 %d3, %r0, 4; add.u64 %d3, %d3, %d2;
    st.shared.u32 [%d3], %r5;
    mov.u64 %d4, own; st.local.u32 [%d4+4], %r0;
    bar.sync 0;
    xor.b32 %r2, %r0, 31; mul.wide.u32 %d3, %r2, 4; add.u64 %d3, %d3, %d2;
    ld.shared.u32 %r3, [%d3];
    ld.local.u32 %r4, [%d4+4];
    mad.lo.u32 %r3, %r4, 1000, %r3;
    mul.wide.u32 %d1, %r5, 4; add.u64 %d1, %d1, %p0; st.global.u32 [%d1], %r3;"""
    (result,) = execute(kernel(body, 1, declarations), zeros(96), grid=3)
    assert result.tolist() == [b * 32 + 31 - t + 1000 * t for b in range(3) for t in range(32)]


def test_generic_addresses_find_their_space() -> None:
    declarations = SHARED + "\n.local .align 4 .b8 own[4];"
    body = f"""{PLACE}
    mov.u64 %d2, tile; cvta.shared.u64 %d3, %d2; mov.u64 %d4, own; cvta.local.u64 %d5, %d4;
    st.u32 [%d3+4], 7; st.u32 [%d5], %r0;
    and.b32 %r1, %r0, 1; setp.eq.u32 %c1, %r1, 0;
    selp.b64 %d6, %d5, %d3, %c1; selp.b64 %d7, 0, 4, %c1; add.u64 %d6, %d6, %d7;
    ld.u32 %r2, [%d6]; st.u32 [%d1], %r2;
    cvta.to.shared.u64 %d8, %d3; setp.ne.u64 %c2, %d8, %d2; @%c2 st.global.u32 [%d1], 999;"""
    (result,) = execute(kernel(body, 1, declarations), zeros())
    assert result.tolist() == [7 if t % 2 else t for t in range(32)]


def test_variables_of_the_module_hold_their_values() -> None:
    declarations = ".const .align 4 .b32 table[4] = {5, 6, 7, 8};"
    body = f"{PLACE} mov.u64 %d2, table; and.b32 %r1, %r0, 3; mul.wide.u32 %d3, %r1, 4;"
    body += "add.u64 %d2, %d2, %d3; ld.const.u32 %r2, [%d2]; st.global.u32 [%d1], %r2;"
    (result,) = execute(kernel(body, 1, declarations), zeros())
    assert result.tolist() == [5, 6, 7, 8] * 8


def test_dynamic_shared_memory_has_the_size_of_the_launch() -> None:
    body = "mov.u64 %d2, rest; st.shared.u32 [%d2+60], 3; ld.shared.u32 %r1, [%d2+60];"
    k = kernel(body + "st.global.u32 [%p0], %r1;", 1, ".extern .shared .align 4 .b8 rest[];")
    assert execute(k, zeros(1), block=1, dynamic_shared=64)[0] == 3
    with pytest.raises(OutOfBoundsError, match="rest of 60 bytes"):
        execute(k, zeros(1), block=1, dynamic_shared=60)


ATOMICS = {
    "add.u32": (lambda old, new: old + new, 0),
    "min.u32": (min, 100),
    "max.s32": (max, 3),
    "exch.b32": (lambda old, new: new, 1),
    "xor.b32": (lambda old, new: old ^ new, 1),
    "inc.u32": (lambda old, limit: 0 if old >= limit else old + 1, 4),
    "dec.u32": (lambda old, limit: limit if old == 0 or old > limit else old - 1, 4),
}


@pytest.mark.parametrize("update", ATOMICS)
def test_atomic_updates_come_one_after_another(update: str) -> None:
    function, start = ATOMICS[update]
    body = f"{PLACE} xor.b32 %r1, %r0, 5; atom.global.{update} %r2, [%p1], %r1;"
    old, cell = execute(kernel(body + "st.global.u32 [%d1], %r2;", 2), zeros(), zeros(1) + start)
    state = start
    for thread in range(32):
        assert old[thread] == state
        state = function(state, thread ^ 5)
    assert cell == state


def test_atomic_compare_and_swap_and_float_sums() -> None:
    body = f"""{PLACE} add.u32 %r1, %r0, 1; atom.shared.cas.b32 %r2, [tile], %r0, %r1;
    st.global.u32 [%d1], %r2; red.global.add.f32 [%p1], 0f3F000000;"""
    k = kernel("st.shared.u32 [tile], 0; bar.sync 0;\n" + body, 2, SHARED)
    old, total = execute(k, zeros(), np.zeros(1, np.float32))
    assert old.tolist() == list(range(32))
    assert total == 16


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("ld.global.u32 %r1, [%d1+4]", r"thread \(31, 0, 0\) of block \(0, 0, 0\) reads 4 bytes "
         r"of global memory at 0x\w+: 0 bytes behind the end of .* of 128 bytes"),
        ("mov.u32 %r1, %ctaid.y; shr.u32 %r1, %r1, 1; mul.wide.u32 %d2, %r1, 128;\n"
         "add.u64 %d1, %d1, %d2; ld.global.u32 %r1, [%d1]",
         r"thread \(0, 0, 0\) of block \(0, 2, 0\) reads .* 0 bytes behind the end"),
        ("st.global.u32 [%d1+-4], 1", r"thread \(0, 0, 0\) .* writes .* 4 bytes before"),
        ("ld.global.v2.u32 {%r1, %r2}, [%d1+4]", r"not a multiple of 8"),
        ("st.shared.u32 [tile+128], 1", r"shared memory .* 0 bytes behind the end of tile"),
        ("ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [tile+104]", r"not a multiple of 16"),
        ("atom.shared.add.u32 %r1, [tile+-4], 1", r"updates 4 bytes .* 4 bytes before tile"),
        ("ld.local.u64 %d2, [own+8]", r"local memory .* behind the end of own of 8 bytes"),
        ("ld.u32 %r1, [8796093022208]", r"global memory at 0x80000000000"),
        ("ld.global.u32 %r1, [0]", r"at 0x0: "),
        ("ld.global.u16 %h1, [%p0+125]", r"not a multiple of 2"),
    ],
)  # fmt: skip
def test_accesses_out_of_bounds_are_found(access: str, message: str) -> None:
    k = kernel(f"{PLACE}\n{access};", 1, SHARED + "\n.local .align 8 .b8 own[8];")
    with pytest.raises(OutOfBoundsError, match=f"^body:[23]: .*{message}"):
        execute(k, zeros(), grid=(1, 3))


def test_freed_memory_is_nobodys() -> None:
    memory = GlobalMemory()
    first, second = memory.allocate(100, "first"), memory.allocate(4, "second")
    k = kernel("st.global.u32 [%p0], 1;")
    run(k, 1, 1, [second], memory)
    memory.free(second)
    with pytest.raises(OutOfBoundsError, match="behind the end of first of 100 bytes"):
        run(k, 1, 1, [second], memory)
    with pytest.raises(ValueError, match="not the address of an allocation"):
        memory.free(second)
    with pytest.raises(IndexError, match="not within one allocation"):
        memory.read(first, np.float32, 26)
    assert memory.allocate(4) == second
    memory.allocate(4)
    memory.free(second)
    assert memory.allocate(200) == second  # holes are used again
    big = memory.allocate(1 << 22)
    memory.write(big, np.arange(1 << 20, dtype=np.float32))
    assert memory.read(big, np.float32, 1 << 20)[-1] == (1 << 20) - 1


# ---- branches ----------------------------------------------------------------------------


def test_each_thread_leaves_a_loop_when_it_is_done() -> None:
    body = f"""{PLACE} mov.u32 %r1, 0; mov.u32 %r2, 0;
$L__head:
    setp.ge.u32 %c1, %r1, %r0;
    @%c1 bra $L__end;
    add.u32 %r1, %r1, 1;
    and.b32 %r3, %r1, 1; setp.eq.u32 %c2, %r3, 0;
    @%c2 bra $L__head;
    add.u32 %r2, %r2, %r1;
    bra.uni $L__head;
$L__end:
    st.global.u32 [%d1], %r2;"""
    (result,) = execute(kernel(body), zeros(300), block=300)
    assert result.tolist() == [sum(range(1, t + 1, 2)) for t in range(300)]


def test_returned_threads_do_nothing_more() -> None:
    body = f"{PLACE} setp.gt.u32 %c1, %r0, 9; @%c1 ret; st.global.u32 [%d1], 1;"
    (result,) = execute(kernel(body), zeros())
    assert result.sum() == 10


def test_a_loop_without_end_is_found() -> None:
    with pytest.raises(EmulationError, match=r"no end after 5,000 instructions.*body:3"):
        execute(
            kernel("mov.u32 %r1, 1;\n$L__1:\nadd.u32 %r1, %r1, 1;bra $L__1;"), 0, step_limit=5000
        )


# ---- barriers ----------------------------------------------------------------------------


def test_a_barrier_waits_for_the_slow_threads_of_its_own_block_only() -> None:
    body = """
    mov.u32 %r5, %ctaid.x; mov.u32 %r1, 0; setp.ne.u32 %c1, %r0, 40; @%c1 bra $L__wait;
$L__slow:
    add.u32 %r1, %r1, 1; setp.lt.u32 %c2, %r1, 50; @%c2 bra $L__slow;
    st.shared.u32 [tile], %r5;
$L__wait:
    bar.sync 0;
    ld.shared.u32 %r2, [tile];
    mad.lo.u32 %r3, %r5, 64, %r0; mul.wide.u32 %d1, %r3, 4; add.u64 %d1, %d1, %p0;
    st.global.u32 [%d1], %r2;"""
    (result,) = execute(kernel(body, 1, SHARED), zeros(320), grid=5, block=64)
    assert result.tolist() == [b for b in range(5) for _ in range(64)]


def test_threads_at_different_barriers_are_an_error() -> None:
    body = "setp.lt.u32 %c1, %r0, 7;\n@%c1 bra $L__1;\nbar.sync 0;\nret;\n$L__1:\nbar.sync 0;"
    with pytest.raises(BarrierDivergenceError, match=r"\(7, 0, 0\).*body:3.*\(0, 0, 0\).*body:6"):
        execute(kernel(body), 0)


def test_a_barrier_that_counts() -> None:
    body = f"""{PLACE} setp.lt.u32 %c1, %r0, 7; bar.red.popc.u32 %r1, 0, %c1;
    bar.red.and.pred %c2, 0, %c1; bar.red.or.pred %c3, 0, %c1;
    @%c2 add.u32 %r1, %r1, 100; @%c3 add.u32 %r1, %r1, 1000; st.global.u32 [%d1], %r1;"""
    (result,) = execute(kernel(body), zeros(70), block=70)
    assert (result == 1007).all()


# ---- warps -------------------------------------------------------------------------------

SHUFFLES = {
    ("up", 3, 0): lambda t: t - 3 if t >= 3 else None,
    ("down", 5, 31): lambda t: t + 5 if t + 5 < 32 else None,
    ("bfly", 9, 31): lambda t: t ^ 9,
    ("idx", 17, 31): lambda t: 17,
    # 0x181f: in segments of 8 lanes
    ("down", 2, 0x181F): lambda t: t + 2 if t % 8 + 2 < 8 else None,
    ("idx", 3, 0x181F): lambda t: t // 8 * 8 + 3,
    ("idx", 0, 0x1F1F): lambda t: t,
    ("up", 1, 0x1800): lambda t: t - 1 if t % 8 else None,
}


@pytest.mark.parametrize(("mode", "lane", "clamp"), SHUFFLES)
def test_shuffles(mode: str, lane: int, clamp: int) -> None:
    body = f"""{PLACE} mul.lo.u32 %r1, %r0, 7;
    shfl.sync.{mode}.b32 %r2|%c1, %r1, {lane}, {clamp}, -1;
    @!%c1 add.u32 %r2, %r2, 1000; st.global.u32 [%d1], %r2;"""
    (result,) = execute(kernel(body), zeros(64), block=64)
    source = SHUFFLES[mode, lane, clamp]
    for thread in range(64):
        found = source(thread % 32)
        expected = 7 * thread + 1000 if found is None else 7 * (thread // 32 * 32 + found)
        assert result[thread] == expected


def test_votes_matches_and_reductions() -> None:
    body = f"""{PLACE} and.b32 %r1, %r0, 3; setp.eq.u32 %c1, %r1, 1;
    vote.sync.ballot.b32 %r2, %c1, -1;
    vote.sync.any.pred %c2, %c1, -1; vote.sync.all.pred %c3, %c1, -1;
    match.any.sync.b32 %r3, %r1, -1;
    match.all.sync.b32 %r4|%c4, %r1, -1;
    redux.sync.add.s32 %r5, %r1, -1; redux.sync.max.u32 %r6, %r1, -1;
    selp.u32 %r7, 1, 0, %c2; selp.u32 %r8, 1, 0, %c3; selp.u32 %r9, 1, 0, %c4;
    mul.wide.u32 %d2, %r0, 28; add.u64 %d2, %d2, %p0; st.global.u32 [%d2], %r2;
    st.global.u32 [%d2+4], %r3; st.global.u32 [%d2+8], %r5; st.global.u32 [%d2+12], %r6;
    st.global.u32 [%d2+16], %r7; st.global.u32 [%d2+20], %r8; st.global.u32 [%d2+24], %r9;"""
    (result,) = execute(kernel(body), np.zeros((32, 7), np.uint32))
    for thread in range(32):
        group = 0x11111111 << thread % 4
        assert result[thread].tolist() == [0x22222222, group, 48, 3, 1, 0, 0]


def test_the_active_lanes_are_those_that_took_the_branch() -> None:
    body = f"{PLACE} setp.lt.u32 %c1, %r0, 5; @%c1 bra $L__1; activemask.b32 %r1; bra $L__2;"
    body += "\n$L__1: activemask.b32 %r1;\n$L__2: st.global.u32 [%d1], %r1;"
    (result,) = execute(kernel(body), zeros())
    assert result.tolist() == [0x1F if t < 5 else 0xFFFFFFE0 for t in range(32)]


def test_an_exchange_waits_for_lanes_that_took_another_way() -> None:
    body = f"""{PLACE} mov.u32 %r2, 0; mov.u32 %r5, 0;
$L__again:
    shfl.sync.idx.b32 %r1, %r5, 31, 31, -1;
    add.u32 %r2, %r2, %r1; add.u32 %r5, %r5, 1;
    setp.ge.u32 %c1, %r5, 3; @%c1 bra $L__end;
    setp.eq.u32 %c2, %r0, 31; @%c2 bra $L__late;
    bra.uni $L__again;
$L__late:
    add.u32 %r5, %r5, 0;
    bra.uni $L__again;
$L__end:
    st.global.u32 [%d1], %r2;"""
    (result,) = execute(kernel(body), zeros())
    assert (result == 0 + 1 + 2).all()


def test_an_exchange_does_not_wait_for_lanes_that_have_returned() -> None:
    body = f"""{PLACE} sub.u32 %r3, %r0, 20; setp.lt.u32 %c1, %r3, 12; @%c1 bra $L__end;
    add.u32 %r1, %r0, 1; shfl.sync.idx.b32 %r2, %r1, 4, 31, -1; st.global.u32 [%d1], %r2;
    bar.sync 0;
$L__end:
    ret;"""
    (result,) = execute(kernel(body), zeros(64), block=64)
    assert result.tolist() == [5] * 20 + [0] * 12 + [37] * 32


@pytest.mark.parametrize("block", [32, 33])
def test_a_run_of_equal_instructions_is_as_if_one_came_after_the_other(block: int) -> None:
    body = f"""{PLACE} cvt.rn.f32.u32 %f1, %r0; mov.f32 %f2, 0f40000000;
    mov.f32 %f5, %f1; mov.f32 %f6, %f1; mov.f32 %f7, %f1; mov.f32 %f8, %f1; mov.f32 %f9, %f1;
    fma.rn.f32 %f5, %f1, %f2, %f5; fma.rn.f32 %f7, %f1, %f1, %f6; fma.rn.f32 %f6, %f2, %f2, %f8;
    fma.rn.f32 %f8, %f1, %f1, %f1; fma.rn.f32 %f9, %f8, %f2, %f9; fma.rn.f32 %f2, %f9, %f2, %f2;
    add.f32 %f5, %f5, %f6; add.f32 %f5, %f5, %f7; add.f32 %f5, %f5, %f8; add.f32 %f5, %f5, %f9;
    add.f32 %f5, %f5, %f2; st.global.f32 [%d1], %f5;"""
    (result,) = execute(kernel(body), np.zeros(block, np.float32), block=block)
    x = np.arange(block, dtype=np.float32)
    f5, f7, f6, f8 = 3 * x, x * x + x, 4 + x, x * x + x
    f9 = 2 * f8 + x
    assert np.array_equal(result, f5 + f6 + f7 + f8 + f9 + (2 * f9 + 2))


def test_an_exchange_with_lanes_that_never_come_is_an_error() -> None:
    body = "setp.lt.u32 %c1, %r0, 7; @%c1 bra $L__1;\nshfl.sync.idx.b32 %r1, %r0, 0, 31, -1;"
    body += "\nbar.sync 0;\nret;\n$L__1: bar.sync 0;"
    with pytest.raises(BarrierDivergenceError, match=r"\(7, 0, 0\).*other lanes.*body:2"):
        execute(kernel(body), 0)


TABLE = """
and.b32 %r1, %r0, 3;
setp.lt.u32 %c1, %r0, 40;
$choice: .branchtargets $one, $two, $one, $three;
@%c1 brx.idx %r1, $choice;
mov.u32 %r2, 100;
bra $end;
$one: mov.u32 %r2, 1;
bra $end;
$two: mov.u32 %r2, 2;
bra $end;
$three: mov.u32 %r2, 3;
$end: mul.wide.u32 %d1, %r0, 4;
add.u64 %d1, %p0, %d1;
st.global.u32 [%d1], %r2;
"""


def test_each_thread_jumps_to_the_label_of_its_index() -> None:
    (got,) = execute(kernel(TABLE), np.zeros(64, np.uint32), block=64)
    np.testing.assert_array_equal(got, [1, 2, 1, 3] * 10 + [100] * 24)
    with pytest.raises(EmulationError, match=r"brx.idx %r1, \$choice.*beyond its 4 labels"):
        execute(kernel(TABLE.replace(" 3;\nsetp", " 7;\nsetp", 1)), np.zeros(64, np.uint32))


def test_barriers_may_have_a_number() -> None:
    body = "barrier.sync 1;\nbar.sync 15;\nbarrier.sync.aligned 0;"
    execute(kernel(body), np.zeros(1, np.uint32), block=64)


@pytest.mark.parametrize("grid", [(1, 65_536), (1, 1, 65_536)])
def test_a_grid_is_long_along_x_alone(grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="65,536 blocks, expected at most 65,535 along y and z"):
        execute(kernel("bar.sync 0;"), 0, grid=grid)
