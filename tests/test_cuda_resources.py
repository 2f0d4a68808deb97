"""Registers, shared memory and spills of every kernel are what the committed table says."""

import copy
import json

import pytest

from tests import cuda_resources
from tests.cuda_lane import SIMULATED

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(SIMULATED, reason="needs the compiler, which the simulator replaces"),
]

MOST_SHARED = 48 * 1024
"""Bytes of a block, on any GPU."""
MOST_REGISTERS = 255
"""Of a thread, for the instructions have 8 bits for their number."""
SLACK = 16
"""Registers by which another compiler may differ."""


@pytest.fixture(scope="module")
def table():
    return json.loads(cuda_resources.TABLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured():
    for package in cuda_resources.COMPILERS:
        try:
            cuda_resources.metadata.version(package)
        except cuda_resources.metadata.PackageNotFoundError:
            pytest.skip(f'needs {package}: pip install "minitransformer[cuda]"')
    return cuda_resources.measured()


def differences(measured, table, slack):
    """What is not as in the table, in words."""
    found = [f"{name}: not in the table" for name in measured.keys() - table.keys()]
    found += [f"{name}: there is no such kernel" for name in table.keys() - measured.keys()]
    for name in measured.keys() & table.keys():
        for gpu, taken in measured[name].items():
            for what, number in taken.items():
                allowed = slack if what == "registers" else 0
                if abs(number - table[name][gpu][what]) > allowed:
                    found.append(f"{name}, {gpu}: {number} {what}, not {table[name][gpu][what]}")
    return sorted(found)


def test_every_kernel_takes_what_the_table_says(measured, table):
    same_compiler = table["compilers"] == cuda_resources.versions()
    found = differences(measured, table["kernels"], 0 if same_compiler else SLACK)
    assert not found, "python -m tests.cuda_resources writes the table anew"


def test_no_kernel_spills_and_all_fit(measured):
    for name, on_gpus in measured.items():
        for taken in on_gpus.values():
            assert taken["spilled"] == 0, name
            assert taken["shared"] <= MOST_SHARED, name
            assert taken["registers"] < MOST_REGISTERS, name


def test_whatever_changes_is_found(table):
    kernels = table["kernels"]
    name = next(iter(kernels))
    assert differences(kernels, kernels, 0) == []
    changed = copy.deepcopy(kernels)
    changed[name]["sm_80"]["registers"] += SLACK
    assert differences(changed, kernels, SLACK) == []
    assert len(differences(changed, kernels, 0)) == 1
    changed[name]["sm_90"]["spilled"] += 4
    changed["new"] = changed[name]
    assert len(differences(changed, kernels, SLACK)) == 2
    del changed[name]
    assert f"{name}: there is no such kernel" in differences(changed, kernels, SLACK)
