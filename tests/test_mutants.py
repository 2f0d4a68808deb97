"""The laws reject every named mistake, and accept the same source without it."""

from dataclasses import replace

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.testing import FUNCTIONS, SPECS, LawError, Subject, laws
from minitransformer.testing.functions import equals_reference
from minitransformer.testing.laws import adjoint, form, reference
from minitransformer.testing.mutants import (
    ATTENTION,
    LAYERS,
    LOSSES,
    MUTANTS,
    ROWS,
    TRAINING,
    Mutant,
)

TARGETS = {mutant.target.__qualname__: mutant.target for mutant in MUTANTS.values()}
AGREED = {"relu_slope_one_at_zero"}  # at 0 there is no derivative, only an agreement
BACKWARD = [
    name
    for name, mutant in MUTANTS.items()
    if mutant.target.__name__.endswith("_backward") and name not in AGREED
]


@pytest.mark.parametrize("name", MUTANTS)
def test_the_laws_reject(name):
    assert MUTANTS[name].rejection()


@pytest.mark.parametrize("name", BACKWARD)
def test_finite_differences_alone_reject(name, monkeypatch):
    """Without looking at the right version, which a mistake in the library would change too."""
    monkeypatch.setattr(laws, "_diagnosis", lambda *args: "")
    mutant = MUTANTS[name]
    spec = SPECS[mutant.target.__name__.removesuffix("_backward")]
    monkeypatch.setitem(mutant.target.impls, "mutant", mutant.build())

    def is_rejected(arguments):
        try:
            adjoint(Subject(spec, "mutant"), arguments, np.random.default_rng(0))
        except (LawError, ValueError):
            return True
        return False

    assert any(map(is_rejected, reversed(spec.cases().values())))


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_source_without_a_mistake_is_right(name, monkeypatch):
    unchanged = Mutant("none", TARGETS[name], {}, "", "").build()
    if name in FUNCTIONS:
        assert equals_reference(replace(FUNCTIONS[name], function=unchanged)) < 1e-12
        return
    monkeypatch.setitem(TARGETS[name].impls, "mutant", unchanged)
    spec = SPECS[name.rpartition("_")[0]]
    for arguments in spec.cases().values():
        for law in (form, reference):
            assert law(Subject(spec, "mutant"), arguments, np.random.default_rng(0)) == 0.0


def test_a_mutant_that_is_none_survives():
    assert Mutant("none", ops.mse_backward, {"2.0": "4.0 / 2.0"}, "", "").rejection() == ""
    assert set(ops.mse_backward.impls) == set(ops.mse_forward.impls)


@pytest.mark.parametrize(("old", "times"), [("no such text", 0), ("dprediction", 4)])
def test_an_edit_that_does_not_match_once_is_an_error(old, times):
    mutant = Mutant("stale", ops.mse_backward, {old: "0.0"}, "", "")
    with pytest.raises(ValueError, match=rf"stale: '{old}' stands {times} times in mse_backward"):
        mutant.build()


def test_mutants_are_many_and_teach():
    assert len(MUTANTS) >= 80
    assert len(TARGETS) >= 20
    for mutant in MUTANTS.values():
        assert mutant.misconception.endswith(".")
        assert mutant.hint.endswith((".", "?"))
        assert mutant.misconception != mutant.hint


def test_names_are_unique():
    assert len(MUTANTS) == sum(map(len, (ATTENTION, LAYERS, LOSSES, ROWS, TRAINING)))
