"""The laws reject every named mistake, and accept the same source without it."""

import pkgutil
from collections import Counter
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.testing import SPECS, Subject, laws, mutants
from minitransformer.testing.functions import equals_reference, function_spec
from minitransformer.testing.laws import adjoint, form, reference
from minitransformer.testing.mutants import MODULES, MUTANTS, Mutant, mutants_of
from minitransformer.testing.mutants.base import textbook
from minitransformer.tokenizers import bpe_merge

TARGETS = {mutant.target.__qualname__: mutant.target for mutant in MUTANTS.values()}
AGREED = {"relu_slope_one_at_zero"}  # at 0 there is no derivative, only an agreement
BACKWARD = [
    name
    for name, mutant in MUTANTS.items()
    if mutant.target.__name__.removesuffix("_backward") in SPECS and name not in AGREED
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
            with np.errstate(all="ignore"):
                adjoint(Subject(spec, "mutant"), arguments, np.random.default_rng(0))
        except Exception:
            return True
        return False

    assert any(map(is_rejected, reversed(spec.cases().values())))


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_source_without_a_mistake_is_right(name, monkeypatch):
    unchanged = Mutant("none", TARGETS[name], {}, "", "").build()
    function = function_spec(TARGETS[name])
    if function is not None:
        assert equals_reference(replace(function, function=unchanged)) < 1e-12
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


def test_a_mutant_comes_to_an_end():
    mutant = Mutant("endless", bpe_merge, {"i += 2": "i += 0", "i += 1": "i += 0"}, "", "")
    with pytest.raises(RuntimeError, match="no end after 65,536 rounds"):
        mutant.build()([1, 2, 3], (1, 2), 4)


def test_edits_reach_helpers():
    edits = {"np.where(keep, x * (1.0 / (1.0 - float(p))), 0.0)": "x * 7.0"}
    helped = Mutant("helped", ops.dropout_forward, edits, "", "", (ops.dropout.drop,))
    y, _ = helped.build()(np.ones(2), np.ones(2, bool), 0.5)
    assert y.tolist() == [7.0, 7.0]
    assert ops.dropout_forward(np.ones(2), np.ones(2, bool), 0.5)[0].tolist() == [2.0, 2.0]


def test_mutants_are_many_and_teach():
    assert len(MUTANTS) >= 700
    assert len(TARGETS) >= 60
    for mutant in MUTANTS.values():
        assert mutant.misconception.endswith(".")
        assert mutant.hint.endswith((".", "?"))
        assert mutant.misconception != mutant.hint


def test_every_op_has_mutants():
    whole = {op.impls["numpy"] for spec in SPECS.values() for op in (spec.forward, spec.backward)}
    assert whole <= {textbook(target) for target in TARGETS.values()}


def test_names_are_unique():
    found = (import_module(f"{mutants.__name__}.{module}").MUTANTS for module in MODULES)
    names = Counter(mutant.name for group in found for mutant in group)
    assert [name for name, times in names.items() if times > 1] == []
    assert list(names) == list(MUTANTS)


def test_every_module_is_listed():
    modules = {module.name for module in pkgutil.iter_modules(mutants.__path__)}
    assert modules - {"base", "kernels"} == set(MODULES)


def test_the_mutants_of_a_function_come_in_the_order_of_repair():
    found = [mutant.name for mutant in mutants_of(ops.softmax_backward)]
    assert found[0] == "softmax_backward_keepdims_forgotten"
    assert found == [name for name in MUTANTS if MUTANTS[name].target is ops.softmax_backward]
    assert mutants_of(ops.softmax_backward.impls["numpy"]) == mutants_of(ops.softmax_backward)
    assert mutants_of(len) == []
