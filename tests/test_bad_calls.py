"""Wrong arguments are refused where ops are called, with a message that names op and argument."""

import inspect

import pytest

from minitransformer import ops
from minitransformer.backend import OPS
from tests.bad_calls import BAD_CALLS, REAL, BadCall, complaint, parameters

CALLS = [
    pytest.param(name, bad, id=f"{name}-{number}-{bad.says}")
    for name, calls in BAD_CALLS.items()
    for number, bad in enumerate(calls)
]


@pytest.mark.parametrize(("name", "bad"), CALLS)
def test_refused(name, bad):
    with pytest.raises(bad.error, match=bad.says) as refused:
        bad.call(REAL[name])
    assert str(refused.value).startswith(name.removesuffix("_forward").removesuffix("_backward"))


@pytest.mark.parametrize("name", OPS)
def test_a_check_has_the_parameters_of_its_op(name):
    check = inspect.getclosurevars(inspect.unwrap(OPS[name], stop=is_seam)).nonlocals.get("check")
    assert check is None or parameters(check) == parameters(OPS[name])


def is_seam(function):
    return "check" in inspect.getclosurevars(function).nonlocals


def test_every_op_refuses_something():
    here = {name for name in OPS if hasattr(ops, name)}
    assert here <= set(BAD_CALLS)


def test_a_good_call_raises_no_complaint():
    good = BadCall(lambda function: function([1.0]), ValueError, "")
    assert complaint(len, good) == ("none", "")
    assert complaint(int, good)[0] == "TypeError"
