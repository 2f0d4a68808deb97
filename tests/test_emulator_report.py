"""Data sheets, occupancy, the roofline, the assembler's words, and the command that prints them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from minitransformer.cli import main
from minitransformer.emulator import ptxas
from minitransformer.emulator.gpus import GPUS, Roofline, occupancy
from minitransformer.emulator.measuring import Measurement
from minitransformer.emulator.reporting import KernelReport, lines, short
from minitransformer.errors import InputError
from tests.emulator_programs import execute, kernel

A100 = GPUS["A100"]


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "warps", "limit"),
    [
        (256, 32, 0, 64, "warps"),
        (32, 16, 0, 32, "blocks"),
        (256, 139, 16896, 8, "registers"),  # 139 become 144: 14 warps, 12 by fours, one block
        (256, 64, 0, 32, "registers"),
        (128, 32, 48 * 1024, 12, "shared memory"),  # 164 KB hold three blocks of 49 KB
        (1024, 255, 0, 0, "registers"),  # cannot start at all
    ],
)
def test_occupancy(threads: int, registers: int, shared: int, warps: int, limit: str) -> None:
    held = occupancy(A100, threads, registers, shared)
    assert (held.warps, held.limit) == (warps, limit)
    assert held.share == warps / 64


def test_a_turing_gpu_holds_half_as_many_warps() -> None:
    assert occupancy(GPUS["T4"], 256, 32, 0).warps == 32
    assert occupancy(GPUS["T4"], 256, 32, 16 * 1024).warps == 32
    assert occupancy(GPUS["T4"], 256, 32, 32 * 1024).limit == "shared memory"


def test_the_roofline_bends_where_arithmetic_becomes_the_limit() -> None:
    assert A100.ridge == pytest.approx(9.56, abs=0.01)
    slope, flat = Roofline(A100, 1000, 1000), Roofline(A100, 100_000, 1000)
    assert (slope.bound, flat.bound) == ("memory", "arithmetic")
    assert slope.teraflops == pytest.approx(2.039)
    assert flat.teraflops == pytest.approx(19.5)
    assert slope.seconds == pytest.approx(1000 / 2.039e12)


def test_what_the_assembler_says_is_read() -> None:
    report = """ptxas info    : Compiling entry function 'k' for 'sm_80'
    32 bytes stack frame, 24 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 165 registers, used 1 barriers, 8448 bytes smem, 568 bytes cmem[0]"""
    assert ptxas.read(report) == ptxas.Resources(165, 8448, 44, 32)
    without_shared = ptxas.read("ptxas info    : Used 8 registers, 360 bytes cmem[0]")
    assert without_shared == ptxas.Resources(8, 0, 0, 0)


def test_a_missing_assembler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install nvidia-cuda-nvcc"):
        ptxas.find_ptxas()


def test_a_report_has_what_was_counted() -> None:
    measurement = Measurement()
    body = """mul.wide.u32 %d1, %r0, 4; add.u64 %d1, %d1, %p0; ld.global.f32 %f1, [%d1];
    fma.rn.f32 %f1, %f1, %f1, %f1; st.global.f32 [%d1], %f1;"""
    execute(kernel(body), np.zeros(64, np.float32), block=64, observers=measurement.observers)
    assert (measurement.moved_bytes, measurement.least_bytes) == (512, 512)
    assert not measurement.bugs
    held = occupancy(A100, 64, 20, 0)
    report = lines([KernelReport("k", measurement, ptxas.Resources(20, 0, 0, 0), held)], A100)
    assert report["float32 operations"] == "128"
    assert report["global bytes moved"] == "512"
    assert report["  times each byte"] == "1.00"
    assert report["operations a byte"] == "0.25"
    assert report["  limited by"] == "memory"
    assert report["registers of a thread"] == "20"
    assert report["bugs"] == "0"


def test_long_numbers_are_shortened() -> None:
    assert [short(n) for n in (9_999, 12_345, 33_554_432, 2_000_000_000)] == [
        "9999",
        "12.35 k",
        "33.55 M",
        "2.00 G",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["play"], "cuda has no command 'play'"),
        (["report", "softmax", "--gpu", "Z80"], "gpu is 'Z80', expected one of T4, A100, H100"),
    ],
)
def test_the_command_names_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cuda", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_without_the_assembler_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing() -> Path:
        raise InputError(f"the assembler ptxas is missing: {ptxas.INSTALL}")

    monkeypatch.setattr("minitransformer.emulator.ptxas.find_ptxas", missing)
    monkeypatch.setattr("minitransformer.cli.cuda.find_ptxas", missing)
    assert main(["cuda", "report", "softmax"]) == 2
    assert "pip install" in capsys.readouterr().err
