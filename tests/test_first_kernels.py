"""The first rungs for a CPU and for a GPU are right, and their named mistakes are found."""

import os
import subprocess
import sys

import numba
import pytest

from minitransformer.testing import check_function
from minitransformer.testing.functions.kernels import LOOPS, THREADS
from minitransformer.testing.mutants import mutants_of

SIMULATED = numba.config.ENABLE_CUDASIM
needs_simulator = pytest.mark.skipif(
    not SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1 when Python starts, as below"
)


@pytest.mark.kernels
@pytest.mark.parametrize("spec", LOOPS, ids=lambda spec: spec.name)
def test_loops_equal_their_references(spec):
    assert [row.verdict for row in check_function(spec)] == ["", ""]


@pytest.mark.parametrize(
    "mutant",
    [mutant for spec in LOOPS for mutant in mutants_of(spec.function)],
    ids=lambda mutant: mutant.name,
)
def test_mistakes_in_loops_are_found(mutant):
    assert mutant.rejection()


@needs_simulator
@pytest.mark.parametrize("spec", THREADS, ids=lambda spec: spec.name)
def test_threads_equal_their_references(spec):
    assert [row.verdict for row in check_function(spec, dtypes=["float64"])] == [""]


@needs_simulator
@pytest.mark.parametrize(
    "mutant",
    [mutant for spec in THREADS for mutant in mutants_of(spec.function)],
    ids=lambda mutant: mutant.name,
)
def test_mistakes_in_threads_are_found(mutant):
    assert mutant.rejection()


@pytest.mark.kernels
@pytest.mark.skipif(SIMULATED, reason="this is the simulator already")
def test_threads_in_the_simulator():
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-k", "threads", __file__]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
    assert "skipped" not in run.stdout
