"""Counters against cases counted by hand; planted bugs are found, and clean kernels are clean."""

import re

import numpy as np
import pytest

from minitransformer.emulator import Observer
from minitransformer.emulator.observers import (
    BarrierDivergence,
    BugFinder,
    DataRaces,
    Divergence,
    GlobalTraffic,
    InstructionMix,
    SharedBanks,
    UninitialisedReads,
)
from tests.emulator_programs import execute, kernel

TILE = ".visible .shared .align 16 .b8 tile[16384];"
OWN = "mul.wide.u32 %d1, %r0, 4; add.u64 %d1, %d1, %p0;"


def observed(body: str, observer: Observer, *arrays: np.ndarray, **options: object) -> None:
    arrays = arrays or (np.zeros(4096, np.uint32),)
    execute(kernel(body, len(arrays), TILE), *arrays, observers=[observer], **options)


# ---- global memory -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "offset", "sectors", "efficiency"),
    [
        (4, 0, 4, 1.0),  # neighbours: 128 bytes are 4 sectors
        (8, 0, 8, 0.5),  # every other one
        (128, 0, 32, 0.125),  # each in a sector of its own
        (4, 4, 5, 0.8),  # neighbours, but not from the start of a sector
        (0, 0, 1, 0.125),  # all the same: one sector, of which 4 bytes are used
    ],
)
def test_sectors_of_a_request(stride: int, offset: int, sectors: int, efficiency: float) -> None:
    traffic = GlobalTraffic()
    body = f"mul.wide.u32 %d1, %r0, {stride}; add.u64 %d1, %d1, %p0;"
    observed(f"{body} ld.global.u32 %r1, [%d1+{offset}];", traffic)
    loads = traffic.total("ld")
    assert (loads.requests, loads.sectors, loads.thread_bytes) == (1, sectors, 128)
    assert loads.sectors_per_request == sectors
    assert loads.efficiency == pytest.approx(efficiency)
    assert traffic.total("st").requests == 0


def test_wide_loads_move_more_in_one_request() -> None:
    traffic = GlobalTraffic()
    body = "mul.wide.u32 %d1, %r0, 16; add.u64 %d1, %d1, %p0;"
    observed(body + "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1];", traffic, block=64)
    assert (traffic.total().requests, traffic.total().sectors) == (2, 32)
    assert traffic.total().efficiency == 1


def test_only_active_threads_and_existing_warps_count() -> None:
    traffic = GlobalTraffic()
    body = f"{OWN} setp.lt.u32 %c1, %r0, 40; @%c1 st.global.u32 [%d1], 1;"
    observed(body, traffic, block=96, grid=2)
    stores = traffic.total("st")
    assert (stores.requests, stores.sectors, stores.useful_bytes) == (4, 10, 320)


# ---- shared memory -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "access", "passes", "conflicts"),
    [
        (4, "ld.shared.u32 %r1", 1, 0),
        (8, "ld.shared.u32 %r1", 2, 1),
        (12, "ld.shared.u32 %r1", 1, 0),  # odd strides meet every bank
        (128, "ld.shared.u32 %r1", 32, 31),  # a column of a tile with 32 columns
        (132, "ld.shared.u32 %r1", 1, 0),  # and with 33
        (0, "ld.shared.u32 %r1", 1, 0),  # all read one word
        (2, "ld.shared.u16 %h1", 1, 0),  # two threads share a word
        (8, "ld.shared.u64 %d2", 2, 0),  # half a warp at a time
        (16, "ld.shared.u64 %d2", 4, 2),
        (16, "ld.shared.v4.u32 {%r1, %r2, %r3, %r4}", 4, 0),  # a quarter at a time
        (32, "ld.shared.v4.u32 {%r1, %r2, %r3, %r4}", 8, 4),
        (0, "atom.shared.add.u32 %r1", 32, 31),  # updates of one word wait for each other
    ],
)
def test_passes_of_a_request(stride: int, access: str, passes: int, conflicts: int) -> None:
    banks = SharedBanks()
    value = ", 1" if access.startswith("atom") else ""
    for start in (0, 4 * (stride % 8 == 4)):
        body = f"mul.wide.u32 %d1, %r0, {stride}; mov.u64 %d3, tile; add.u64 %d1, %d1, %d3;"
        observed(f"{body} {access}, [%d1+{start}]{value};", banks)
    total = banks.total()
    assert (total.requests, total.passes, total.conflicts) == (2, 2 * passes, 2 * conflicts)


def test_lanes_may_go_backwards() -> None:
    banks, traffic = SharedBanks(), GlobalTraffic()
    body = "sub.u32 %r1, 31, %r0; mul.wide.u32 %d1, %r1, 128; mov.u64 %d3, tile;"
    body += "add.u64 %d3, %d3, %d1; ld.shared.u32 %r2, [%d3];"
    body += "add.u64 %d1, %d1, %p0; ld.global.u32 %r2, [%d1];"
    execute(kernel(body, 1, TILE), np.zeros(1024, np.uint32), observers=[banks, traffic])
    assert (banks.total().passes, banks.total().needed) == (32, 1)
    assert traffic.total().sectors == 32


def test_the_same_addresses_count_differently_for_wider_values() -> None:
    banks = SharedBanks()
    body = "mul.wide.u32 %d1, %r0, 8; mov.u64 %d3, tile; add.u64 %d1, %d1, %d3;"
    observed(body + "ld.shared.u32 %r1, [%d1]; ld.shared.u64 %d4, [%d1];", banks)
    assert [count.needed for count in banks.by_instruction.values()] == [1, 2]


# ---- instructions ------------------------------------------------------------------------

NESTED = """mov.u32 %r1, 0; mov.f32 %f1, 0f3F800000;
$L__outer:
    mov.u32 %r2, 0;
$L__inner:
    fma.rn.f32 %f1, %f1, %f1, %f1;
    fma.rn.f32 %f1, %f1, %f1, %f1;
    add.u32 %r2, %r2, 1; setp.lt.u32 %c1, %r2, 5;
    @%c1 bra $L__inner;
    add.f32 %f1, %f1, %f1;
    add.u32 %r1, %r1, 1; setp.lt.u32 %c1, %r1, 3;
    @%c1 bra $L__outer;"""


def test_instructions_are_counted_by_warps_and_by_threads() -> None:
    mix = InstructionMix()
    observed(NESTED, mix, block=48, grid=2)
    counts = mix.counts()
    assert counts["fma"] == 3 * 5 * 2 * 4  # loops, two each, four warps
    assert counts["float"] == 3 * 4
    assert mix.flops == 96 * (3 * 5 * 2 * 2 + 3)
    assert mix.lane_efficiency == 0.75
    assert mix.inner_share("fma") == pytest.approx(2 / 5)
    first, last = mix.inner_loop() or (0, 0)
    assert [step.opcode for step in mix.code[first:last]] == ["fma", "fma", "add", "setp", "bra"]


def test_lanes_that_parted_meet_again() -> None:
    mix = InstructionMix()
    body = "setp.lt.u32 %c1, %r0, 16; @%c1 bra $L__1; mov.u32 %r1, 1;\n$L__1: mov.u32 %r2, 1;"
    observed(body, mix)
    assert [int(mix.by_warps[i]) for i in (-3, -2, -1)] == [1, 1, 1]
    assert [int(mix.by_threads[i]) for i in (-3, -2, -1)] == [16, 32, 32]


def test_divergence_is_counted_by_warps() -> None:
    divergence = Divergence()
    body = "setp.lt.u32 %c1, %r0, 40; @%c1 bra $L__1; mov.u32 %r1, 1;\n$L__1: mov.u32 %r2, 1;"
    observed(body, divergence, block=96)
    assert divergence.branches.total() == 3
    assert divergence.divergent.total() == 1  # the warp of threads 32 to 63
    assert divergence.rate == pytest.approx(1 / 3)
    uniform = Divergence()
    observed(body.replace("40", "64"), uniform, block=96)
    assert uniform.divergent.total() == 0


# ---- bugs --------------------------------------------------------------------------------


def bugs(finder: BugFinder, body: str, *arrays: np.ndarray, **options: object) -> list[str]:
    observed(body, finder, *arrays, **options)
    return [str(bug) for bug in finder.bugs]


MINE = "mov.u64 %d3, tile; mul.wide.u32 %d2, %r0, 4; add.u64 %d2, %d2, %d3;"
LEFT = "ld.shared.u32 %r1, [%d2+-4]"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (  # the neighbour's word is read without a barrier
            f"{MINE}\nst.shared.u32 [%d2], 1;\nxor.b32 %r2, %r0, 32; mul.wide.u32 %d4, %r2, 4;"
            "add.u64 %d4, %d4, %d3;\nld.shared.u32 %r1, [%d4];",
            r"body:4: data race: thread \(0, 0, 0\) of block \(0, 0, 0\) reads shared memory at "
            r"0x80, which thread \(32, 0, 0\) of block \(0, 0, 0\) writes at body:2",
        ),
        (  # read, then overwritten by another thread
            f"{MINE} st.shared.u32 [%d2], 1; bar.sync 0;\nld.shared.u32 %r1, [tile];\n"
            "setp.eq.u32 %c1, %r0, 5; @%c1 st.shared.u32 [tile], 2;",
            r"body:3: data race: thread \(5, 0, 0\) .* writes .* 0x0, which .* reads at body:2",
        ),
        (  # all write one word
            "st.shared.u32 [tile], %r0;",
            r"body:1: data race: .* writes shared memory at 0x0, which .* writes at body:1",
        ),
        (  # lanes of one warp are not in step
            f"{MINE} st.shared.u32 [tile+4096], 0; \nxor.b32 %r2, %r0, 1; mul.wide.u32 %d4, %r2, 4;"
            "add.u64 %d4, %d4, %d3; st.shared.u32 [%d2], 1;\nld.shared.u32 %r1, [%d4];",
            r"body:3: data race: thread \(0, 0, 0\) .* reads .* thread \(1, 0, 0\) .* at body:2",
        ),
        (  # a reader before the barrier does not hide those behind it
            "st.shared.u32 [tile+4096], 1; setp.eq.u32 %c1, %r0, 0; @%c1 st.shared.u32 [tile], 1;"
            "@%c1 ld.shared.u32 %r1, [tile]; bar.sync 0; sub.u32 %r2, %r0, 5;"
            "setp.lt.u32 %c2, %r2, 2;\n@%c2 ld.shared.u32 %r1, [tile];\n"
            "setp.eq.u32 %c3, %r0, 6; @%c3 st.shared.u32 [tile], 1;",
            r"body:3: .* thread \(6, 0, 0\) .* writes .* thread \(5, 0, 0\) .* reads at body:2",
        ),
        (  # syncwarp orders nothing between warps
            f"{MINE} st.shared.u32 [%d2], 1; bar.warp.sync -1; xor.b32 %r2, %r0, 32;"
            "mul.wide.u32 %d4, %r2, 4; add.u64 %d4, %d4, %d3; ld.shared.u32 %r1, [%d4];",
            r"thread \(0, 0, 0\) .* reads .* thread \(32, 0, 0\) .* writes",
        ),
        (  # an update and a plain read
            "red.shared.add.u32 [tile], 1;\nld.shared.u32 %r1, [tile];",
            r"body:2: data race: .* reads .* updates at body:1",
        ),
        (  # two blocks, though far apart in time
            "mov.u32 %r1, %ctaid.x; setp.eq.u32 %c1, %r0, 3; @%c1 st.global.u32 [%p0], %r1;",
            r"thread \(3, 0, 0\) of block \(\d+, 0, 0\) writes global memory .* thread \(3, 0, 0\)",
        ),
        (  # of all who read, only those of the other block race
            "mov.u32 %r1, %ctaid.x; setp.lt.u32 %c1, %r1, 2;\n@%c1 ld.global.u32 %r2, [%p0];"
            "bar.sync 0; setp.eq.u32 %c2, %r1, 1; setp.eq.u32 %c3, %r0, 0;"
            "and.pred %c2, %c2, %c3;\n@%c2 st.global.u32 [%p0], 1;",
            r"body:3: .* thread \(0, 0, 0\) of block \(1, 0, 0\) writes .* "
            r"of block \(0, 0, 0\) reads at body:2",
        ),
        (  # a barrier orders nothing between blocks
            "mov.u32 %r1, %ctaid.x; setp.eq.u32 %c1, %r1, 2;\n@!%c1 bra $L__1; "
            "ld.global.u32 %r2, [%p0+8]; \n$L__1: bar.sync 0; setp.eq.u32 %c2, %r1, 250;"
            "setp.eq.u32 %c3, %r0, 0; and.pred %c2, %c2, %c3;\n@%c2 st.global.u32 [%p0+8], 1;",
            r"body:4: data race: thread \(0, 0, 0\) of block \(250, 0, 0\) writes global memory .* "
            r"of block \(2, 0, 0\) reads at body:2",
        ),
    ],
)  # fmt: skip
def test_planted_races_are_found(body: str, message: str) -> None:
    found = bugs(DataRaces(), body, block=64, grid=300)
    assert any(re.search(message, bug) for bug in found), found


@pytest.mark.parametrize(
    "body",
    [
        # a barrier between
        f"{MINE} st.shared.u32 [%d2], 1; bar.sync 0; xor.b32 %r2, %r0, 32;"
        "mul.wide.u32 %d4, %r2, 4; add.u64 %d4, %d4, %d3; ld.shared.u32 %r1, [%d4];"
        "bar.sync 0; st.shared.u32 [%d2], 2;",
        # syncwarp between lanes of a warp
        f"{MINE} st.shared.u32 [%d2], 1; bar.warp.sync -1; xor.b32 %r2, %r0, 1;"
        "mul.wide.u32 %d4, %r2, 4; add.u64 %d4, %d4, %d3; ld.shared.u32 %r1, [%d4];"
        "bar.warp.sync -1; st.shared.u32 [%d2], 2;",
        # updates of one word, and reading it after a barrier
        "red.shared.add.u32 [tile], 1; setp.eq.u32 %c1, %r0, 0; bar.sync 0;"
        "@%c1 red.global.add.u32 [%p0], 1;"
        "ld.shared.u32 %r1, [tile];",
        # everybody reads what nobody writes
        "ld.global.u32 %r1, [%p0]; ld.shared.u32 %r1, [tile]; bar.sync 0;"
        "ld.shared.u32 %r1, [tile];",
        # neighbouring bytes of one word are different memory
        "mov.u64 %d3, tile; cvt.u64.u32 %d2, %r0; add.u64 %d3, %d3, %d2; st.shared.u8 [%d3], 1;",
        # each thread its own word, block after block
        "mov.u32 %r2, %ctaid.x; and.b32 %r1, %r2, 31; setp.lt.u32 %c1, %r2, 32;"
        "mad.lo.u32 %r1, %r1, 64, %r0; mul.wide.u32 %d1, %r1, 4; add.u64 %d1, %d1, %p0;"
        "@%c1 st.global.u32 [%d1], 1; @%c1 ld.global.u32 %r4, [%d1];",
    ],
)  # fmt: skip
def test_clean_kernels_have_no_races(body: str) -> None:
    assert bugs(DataRaces(), body, block=64, grid=300) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("ld.shared.u32 %r1, [tile+8];", r"body:1: uninitialised read: thread \(0, 0, 0\) of block "
         r"\(0, 0, 0\) reads shared memory at 0x8"),
        (f"{MINE} setp.ne.u32 %c1, %r0, 9; @%c1 st.shared.u32 [%d2], 1; bar.sync 0;\n"
         "ld.shared.u32 %r2, [%d2];", r"body:2: .* thread \(9, 0, 0\)"),
        ("st.local.u32 [own], 1;\nld.local.v2.u32 {%r1, %r2}, [own];", r"body:2: .* local memory"),
        ("red.shared.add.u32 [tile], 1;", r"reads shared memory at 0x0"),
    ],
)  # fmt: skip
def test_uninitialised_reads_are_found(body: str, message: str) -> None:
    finder = UninitialisedReads()
    program = kernel(body, 1, TILE + "\n.local .align 8 .b8 own[8];")
    execute(program, np.zeros(1, np.uint32), observers=[finder])
    (bug,) = finder.bugs
    assert re.search(message, str(bug)), str(bug)


def test_memory_that_somebody_wrote_is_initialised() -> None:
    body = f"{MINE} st.shared.u32 [%d2], -1; ld.shared.u32 %r1, [%d2]; ld.global.u32 %r2, [%p0];"
    assert bugs(UninitialisedReads(), body, np.full(1, 0xFFFFFFFF, np.uint32)) == []


def test_threads_that_miss_a_barrier_are_found() -> None:
    body = "setp.lt.u32 %c1, %r0, 20;\n@%c1 ret;\nbar.sync 0;"
    (bug,) = bugs(BarrierDivergence(), body, block=33)
    assert bug.startswith("body:3: barrier divergence: thread (0, 0, 0) of block (0, 0, 0) never")
    assert "thread (20, 0, 0)" in bug
    assert bugs(BarrierDivergence(), "bar.sync 0; bar.warp.sync -1;", block=33, grid=3) == []
