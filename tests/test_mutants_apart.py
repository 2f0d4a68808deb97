"""No two mutants of a function do the same: what a wrong answer does tells which mistake it is."""

from itertools import chain, combinations

import numpy as np
import pytest

from minitransformer import ops
from minitransformer.testing import SPECS
from minitransformer.testing.differences import cotangent
from minitransformer.testing.functions import function_spec
from minitransformer.testing.mutants import MUTANTS, Mutant, mutants_of
from minitransformer.testing.subject import TOLERANCES, cast
from minitransformer.testing.trees import as_parts, named_arrays

TARGETS = {mutant.target.__qualname__: mutant.target for mutant in MUTANTS.values()}


def trials(target):
    """Yield for each input of a function a way to see what a version of it does."""
    function = function_spec(target)
    op, _, half = target.__name__.rpartition("_")
    for dtype in TOLERANCES:
        if function is not None:
            for arguments in function.inputs(np.random.default_rng(0)).values():
                yield dtype, lambda f, a=arguments, d=dtype: of_function(function, f, cast(a, d))
            continue
        for dims in (SPECS[op].dims, *SPECS[op].other_dims().values()):
            for arguments in SPECS[op].cases(0, dims).values():
                yield dtype, lambda f, a=arguments, d=dtype: of_op(SPECS[op], half, f, cast(a, d))


def of_function(spec, function, arguments):
    return {"result": spec.harness(function)(**arguments), **arguments}


def of_op(spec, half, function, arguments):
    if half == "forward":
        return {"y": function(**arguments)[0]}
    y, cache = spec.forward.impls["numpy"](**arguments)
    dy = cast(cotangent(y, np.random.default_rng(0)), as_parts(y)[0].dtype)
    return {"gradients": function(dy, cache)}


def outcome(trial, function):
    """Everything that comes out: arrays by name, and the rest, or the exception."""
    try:
        with np.errstate(all="ignore"):
            tree = trial(function)
    except (AttributeError, NameError):
        raise  # a slip in the edit, not the mistake that is meant
    except Exception as error:
        return {}, type(error).__name__
    arrays = {name: a for key in tree for name, a in named_arrays(as_arrays(tree[key]), key)}
    kinds = {name: array.dtype.kind for name, array in arrays.items()}
    return arrays, (kinds, repr(tree) if not arrays else "")


def as_arrays(tree):
    if isinstance(tree, int | float | np.generic):
        return np.asarray(tree)
    if isinstance(tree, tuple | list):
        return [as_arrays(item) for item in tree]
    return tree


def coincide(one, other, tolerance):
    (arrays, rest), (others, other_rest) = one, other
    return rest == other_rest and all(equal(arrays[n], others[n], tolerance) for n in arrays)


def equal(a, b, tolerance):
    if a.shape != b.shape or a.dtype.kind != "f":
        return np.array_equal(a, b)
    size = np.abs(b).max(initial=0.0, where=np.isfinite(b)) or 1.0
    return np.allclose(a, b, rtol=0.0, atol=tolerance * size, equal_nan=True)


def pairs_that_coincide(target, mutants):
    built = [mutant.build() for mutant in mutants]
    left = list(combinations(range(len(mutants)), 2))
    for dtype, trial in trials(target):
        seen = {i: outcome(trial, built[i]) for i in set(chain.from_iterable(left))}
        left = [(i, j) for i, j in left if coincide(seen[i], seen[j], TOLERANCES[dtype])]
    return [(mutants[i].name, mutants[j].name) for i, j in left]


@pytest.mark.parametrize("name", TARGETS)
def test_no_two_mutants_do_the_same(name):
    assert pairs_that_coincide(TARGETS[name], mutants_of(TARGETS[name])) == []


def test_the_same_mistake_under_two_names_is_found():
    edits = {"float(dy) * 2.0": "float(dy)"}, {"float(dy) * 2.0": "1.0 * float(dy)"}
    twins = [Mutant(f"twin {i}", ops.mse_backward, e, "", "") for i, e in enumerate(edits)]
    assert pairs_that_coincide(ops.mse_backward, twins) == [("twin 0", "twin 1")]
