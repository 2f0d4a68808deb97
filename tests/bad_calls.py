"""Calls of ops with arguments that must be refused, and on what grounds."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minitransformer import ops


class BadCall(NamedTuple):
    """A wrong call of a function, and what the complaint says."""

    call: Callable[[Any], Any]
    error: type[Exception]
    says: str


class Half:
    """Has a dtype, and is no array all the same."""

    dtype = np.dtype(np.float64)


def floats(*shape, dtype=np.float64):
    return np.ones(shape, dtype)


def single(*shape):
    return floats(*shape, dtype=np.float32)


def bools(*shape):
    return np.ones(shape, np.bool_)


def calling(**arguments):
    return lambda function: function(**arguments)


def backward(name, dy, **arguments):
    """Backward with a wrong dy, after a good forward."""
    _, cache = getattr(ops, f"{name}_forward")(**arguments)
    return lambda function: function(dy, cache)


def of_floats(**good):
    """Every array of floats as a list, as integers, as half floats, or in another precision."""
    calls = []
    for name in good:
        other = good[name].astype(np.int64), good[name].astype(np.float16)
        calls.append(BadCall(calling(**good | {name: [1.0]}), TypeError, f"{name} is a list"))
        calls += [
            BadCall(calling(**good | {name: x}), TypeError, f"{name} is {x.dtype}") for x in other
        ]
        if len(good) > 1:
            mixed = calling(**good | {name: good[name].astype(np.float32)})
            calls.append(BadCall(mixed, TypeError, "share one dtype"))
    return calls


def of_dy(name, y_shape, **good):
    """A dy of another shape, of another precision, and none at all."""
    wrong = [
        (floats(*y_shape, 1), ValueError, "dy has shape"),
        (floats(*y_shape[:-1], y_shape[-1] + 1), ValueError, "dy has shape"),
        (single(*y_shape), TypeError, "dy is float32 but y is float64"),
        (None, TypeError, "dy is None"),
    ]
    low = {n: single(*x.shape) if is_floats(x) else x for n, x in good.items()}
    return [
        *(BadCall(backward(name, dy, **good), error, says) for dy, error, says in wrong),
        BadCall(backward(name, floats(*y_shape), **low), TypeError, "float64 but y is float32"),
    ]


def is_floats(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def of_loss(name, **good):
    wrong = [
        (floats(1), ValueError, "expected one real number"),
        ("1", TypeError, "expected one real number"),
        (np.complex128(1), TypeError, "expected one real number"),
    ]
    return [BadCall(backward(name, dy, **good), error, says) for dy, error, says in wrong]


def shapes(says, **good):
    """One call for each argument that is given another shape."""
    return lambda **wrong: [
        BadCall(calling(**good | {name: value}), ValueError, says.format(name))
        for name, values in wrong.items()
        for value in values
    ]


X = floats(2, 3, 4)
MATRICES = {"a": floats(2, 3, 4), "b": floats(4, 5)}
LINEAR = {"x": X, "w": floats(4, 5), "b": floats(5)}
TABLE = {"ids": np.array([[0, 1, 4]]), "w": floats(5, 3)}
NORM = {"x": X, "gamma": floats(4), "beta": floats(4)}
RMS = {"x": X, "gamma": floats(4)}
DROPOUT = {"x": X, "keep": bools(2, 3, 4), "p": 0.5}
HEADS = floats(2, 6, 4, 8)
ROTARY = {"x": HEADS, "cos": floats(4, 4), "sin": floats(4, 4)}
QKV = {"q": floats(2, 6, 4, 8), "k": floats(2, 3, 5, 8), "v": floats(2, 3, 5, 7)}
CLASSES = {"logits": floats(2, 3, 4), "targets": np.zeros((2, 3), int)}
GATED = {"gate": X, "up": X}
PAIR = {"prediction": X, "target": X}
STEP = {name: floats(3) for name in ("parameter", "grad")}
ADAM = STEP | {"m": floats(3), "v": floats(3), "t": 1, "lr": 0.1}
SGD = STEP | {"velocity": floats(3), "lr": 0.1}
KV = {"keys": floats(2, 3, 9, 4), "values": floats(2, 3, 9, 5), "length": 2}
KV |= {"k": floats(2, 3, 1, 4), "v": floats(2, 3, 1, 5)}


def ids(good, argument, limit):
    """Ids that are no integers, negative, or beyond the last; of several the first is named."""
    calls = []
    for value in (-1, -200, limit, limit + 3):
        wrong = good[argument].copy()
        wrong.flat[1:] = value
        says = rf"{argument}\[0, 1\] is {value}"
        calls.append(BadCall(calling(**good | {argument: wrong}), IndexError, says))
    for wrong, says in ((good[argument] * 1.0, "float64"), ([0, 1], "list")):
        bad = calling(**good | {argument: wrong})
        calls.append(
            BadCall(bad, TypeError, f"{argument} is {says}, expected an array of integers")
        )
    return calls


def masks(good, argument, wrong, says):
    return [
        BadCall(calling(**good | {argument: floats(1)}), TypeError, f"{argument} is float64"),
        BadCall(calling(**good | {argument: [True]}), TypeError, f"{argument} is list"),
        *(BadCall(calling(**good | {argument: w}), ValueError, says) for w in wrong),
    ]


def numbers(good, **wrong):
    return [
        BadCall(calling(**good | {name: value}), ValueError, f"{name} is {value}")
        for name, values in wrong.items()
        for value in values
    ]


def state(good, *names):
    """Arrays that share memory, or must not be written."""
    frozen = floats(3)
    frozen.flags.writeable = False
    memory = floats(4)
    shared = [(a, b) for a in names for b in good if b != a and np.ndim(good[b])]
    return [
        *(BadCall(calling(**good | {n: frozen}), ValueError, f"{n} is read-only") for n in names),
        *(
            BadCall(calling(**good | {a: memory[:3], b: memory[1:]}), ValueError, "share memory")
            for a, b in shared
        ),
    ]


BAD_CALLS: dict[str, list[BadCall]] = {
    "require_floats": [
        BadCall(lambda f: f("require_floats", a=None, b=[1.0]), TypeError, "b is a list"),
        BadCall(lambda f: f("require_floats", a=Half()), TypeError, "a is a Half"),
    ],
    "softmax_forward": [
        *of_floats(x=X),
        BadCall(calling(x=floats()), ValueError, "expected 1 axes or more"),
        *masks({"x": X}, "mask", [bools(2), bools(1, 2, 3, 4), bools(3, 5)], "mask has shape"),
    ],
    "softmax_backward": of_dy("softmax", (2, 3, 4), x=X),
    "relu_forward": of_floats(x=X),
    "relu_backward": of_dy("relu", (2, 3, 4), x=X),
    "tanh_forward": of_floats(x=X),
    "tanh_backward": of_dy("tanh", (2, 3, 4), x=X),
    "silu_forward": of_floats(x=X),
    "silu_backward": of_dy("silu", (2, 3, 4), x=X),
    "gelu_forward": [
        *of_floats(x=X),
        BadCall(calling(x=X, approximate="erf"), ValueError, "approximate is 'erf'"),
    ],
    "gelu_backward": of_dy("gelu", (2, 3, 4), x=X),
    "swiglu_forward": [
        *of_floats(**GATED),
        *shapes("up has shape", **GATED)(up=[floats(3, 4), floats(2, 3, 1), floats(4, 3, 2)]),
    ],
    "swiglu_backward": of_dy("swiglu", (2, 3, 4), **GATED),
    "add_forward": [
        *of_floats(a=floats(3), b=floats(3)),
        *shapes("shapes that broadcast", a=X, b=X)(a=[floats(2)], b=[floats(3)]),
    ],
    "add_backward": of_dy("add", (2, 3, 4), a=X, b=floats(4)),
    "matmul_forward": [
        *of_floats(**MATRICES),
        *shapes("{} has shape", **MATRICES)(a=[floats(4)], b=[floats(4)]),
        *shapes("to equal b's last but one", **MATRICES)(
            a=[floats(2, 3, 5)], b=[floats(5, 4), floats(2, 5, 4)]
        ),
        *shapes("leading axes that broadcast", **MATRICES)(b=[floats(3, 4, 5)]),
    ],
    "matmul_backward": of_dy("matmul", (2, 3, 5), **MATRICES),
    "linear_forward": [
        *of_floats(**LINEAR),
        *shapes("{} has shape", **LINEAR)(
            x=[floats()], w=[floats(4), floats(1, 4, 5)], b=[floats(4), floats(1, 5), floats(1)]
        ),
        *shapes("expected a last axis of", **LINEAR)(x=[floats(2, 5)], w=[floats(5, 5)]),
        BadCall(calling(**LINEAR, transposed=True), ValueError, "expected a last axis of 5"),
    ],
    "linear_backward": [
        *of_dy("linear", (2, 3, 5), **LINEAR),
        *of_dy("linear", (2, 3, 5), x=X, w=floats(5, 4), transposed=True),
    ],
    "embedding_forward": [
        *of_floats(w=TABLE["w"])[3:],
        *(
            BadCall(calling(**TABLE | {"w": w}), error, says)
            for w, error, says in (
                ([1.0], TypeError, "w is a list"),
                (floats(5, 3).astype(int), TypeError, "w is int64"),
                (floats(5), ValueError, "expected 2 axes"),
                (floats(5, 3, 1), ValueError, "expected 2 axes"),
            )
        ),
        *ids(TABLE, "ids", 5),
        BadCall(calling(ids=np.int64(1), w=TABLE["w"]), ValueError, "expected 1 axes or more"),
    ],
    "embedding_backward": of_dy("embedding", (1, 3, 3), **TABLE),
    "dropout_forward": [
        BadCall(calling(**DROPOUT | {"x": [1.0]}), TypeError, "x is a list"),
        *masks(DROPOUT, "keep", [bools(4), bools(2, 3, 1)], "keep has shape"),
        *numbers(DROPOUT, p=[-0.1, 1.0, 1.5, float("nan")]),
    ],
    "dropout_backward": of_dy("dropout", (2, 3, 4), **DROPOUT),
    "layer_norm_forward": [
        *of_floats(**NORM),
        BadCall(calling(**NORM | {"x": floats()}), ValueError, "expected 1 axes or more"),
        *shapes("{} has shape", **NORM)(
            gamma=[floats(3), floats(1), floats(1, 4)], beta=[floats(3), floats(1), floats(1, 4)]
        ),
    ],
    "layer_norm_backward": of_dy("layer_norm", (2, 3, 4), **NORM),
    "rms_norm_forward": [
        *of_floats(**RMS),
        BadCall(calling(**RMS | {"x": floats()}), ValueError, "expected 1 axes or more"),
        *shapes("{} has shape", **RMS)(gamma=[floats(3), floats(1), floats(1, 4)]),
    ],
    "rms_norm_backward": of_dy("rms_norm", (2, 3, 4), **RMS),
    "rotary_forward": [
        *of_floats(**ROTARY),
        *shapes("{} has shape", **ROTARY)(
            x=[floats(6, 4, 8), floats(2, 6, 4, 7), floats(1, 2, 6, 4, 8)],
            cos=[floats(4, 8), floats(3, 4), floats(1, 1, 1, 4, 4)],
            sin=[floats(4, 8), floats(3, 4), floats(1, 1, 1, 4, 4)],
        ),
    ],
    "rotary_backward": of_dy("rotary", HEADS.shape, **ROTARY),
    "split_heads_forward": [
        BadCall(calling(x=[1.0], heads=(2,)), TypeError, "x is a list"),
        *(
            BadCall(calling(x=x, heads=heads), ValueError, "split_heads: x has shape")
            for x, heads in (
                (floats(3, 6), (2,)),
                (floats(1, 2, 3, 6), (2,)),
                (floats(2, 3, 6), (2, 2)),
                (floats(2, 3, 6), ()),
                (floats(2, 3, 6), (0, 2)),
                (floats(2, 3, 6), (4, -1)),
            )
        ),
    ],
    "split_heads_backward": [
        BadCall(backward("split_heads", dy, x=floats(2, 3, 8), heads=(2, 1, 1)), error, says)
        for dy, error, says in (
            ((floats(2, 2, 3, 2),), ValueError, "dy has 1 parts, expected 3"),
            ((floats(2, 2, 3, 2),) * 4, ValueError, "dy has 4 parts, expected 3"),
            ((floats(2, 2, 3, 2),) * 3, ValueError, "dy has shape"),
            (
                (floats(2, 2, 3, 2), floats(2, 1, 3, 2), single(2, 1, 3, 2)),
                TypeError,
                "dy is float32",
            ),
        )
    ],
    "merge_heads_forward": [
        BadCall(calling(x=[1.0]), TypeError, "x is a list"),
        *shapes("expected (B, H, T, D)".replace("(", r"\(").replace(")", r"\)"), x=HEADS)(
            x=[floats(2, 3, 4), floats(1, 2, 3, 4, 5)]
        ),
    ],
    "merge_heads_backward": of_dy("merge_heads", (2, 4, 48), x=HEADS),
    "attention_forward": [
        *of_floats(**QKV),
        *shapes("{} has shape", **QKV)(
            q=[floats(6, 4, 8), floats(1, 2, 6, 4, 8)],
            k=[floats(3, 5, 8), floats(1, 3, 5, 8), floats(2, 3, 5, 7)],
            v=[floats(3, 5, 7), floats(1, 3, 5, 7), floats(2, 2, 5, 7), floats(2, 3, 4, 7)],
        ),
        *(
            BadCall(
                calling(q=QKV["q"], k=floats(2, h, 5, 8), v=floats(2, h, 5, 7)),
                ValueError,
                f"q has 6 heads and k has {h}",
            )
            for h in (0, 4, 5)
        ),
        *masks(QKV, "mask", [bools(5, 4), bools(1, 2, 6, 4, 5), bools(3, 1, 1)], "mask has shape"),
        *masks(QKV, "keep", [bools(4, 5), bools(2, 6, 1, 5)], "keep has shape"),
        *numbers(QKV, p=[-0.1, 1.0]),
    ],
    "attention_backward": of_dy("attention", (2, 6, 4, 7), **QKV),
    "cross_entropy_forward": [
        BadCall(calling(**CLASSES | {"logits": [1.0]}), TypeError, "logits is a list"),
        BadCall(calling(**CLASSES | {"logits": floats()}), ValueError, "expected 1 axes or more"),
        *ids(CLASSES, "targets", 4),
        *shapes("{} has shape", **CLASSES)(
            targets=[np.zeros(3, int), np.zeros((2, 3, 1), int), np.zeros((3, 2), int)]
        ),
        *numbers(CLASSES, label_smoothing=[-0.1, 1.1]),
    ],
    "cross_entropy_backward": of_loss("cross_entropy", **CLASSES),
    "mse_forward": [
        *of_floats(**PAIR),
        *shapes("target has shape", **PAIR)(target=[floats(3, 4), floats(2, 3, 1)]),
        BadCall(calling(prediction=floats(0, 2), target=floats(0, 2)), ValueError, "an element"),
    ],
    "mse_backward": of_loss("mse", **PAIR),
    "accumulate": [
        BadCall(calling(total=[1.0], part=floats(3)), TypeError, "total is a list"),
        BadCall(calling(total=floats(3), part=single(3)), TypeError, "share one dtype"),
        BadCall(calling(total=floats(3), part=floats(1)), ValueError, "part has shape"),
        *state({"total": floats(3), "part": floats(3)}, "total")[:1],
    ],
    "scale_": [
        BadCall(calling(x=[1.0], factor=2.0), TypeError, "x is a list"),
        *state({"x": floats(3), "factor": 2.0}, "x"),
    ],
    "zero_": [BadCall(calling(x=[1.0]), TypeError, "x is a list"), *state({"x": floats(3)}, "x")],
    "sum_of_squares": of_floats(x=X),
    "adamw_step": [
        *numbers(
            ADAM,
            t=[0, -1],
            lr=[-0.1, float("inf")],
            beta1=[-0.1, 1.0, 1.5],
            beta2=[-0.1, 1.0, 1.5],
            eps=[-1e-8, float("inf")],
            weight_decay=[-0.1, float("inf")],
        ),
        *shapes("has shape", **ADAM)(
            **{name: [floats(2)] for name in ("parameter", "grad", "m", "v")}
        ),
        BadCall(calling(**ADAM | {"v": single(3)}), TypeError, "share one dtype"),
        *state(ADAM, "parameter", "m", "v"),
    ],
    "sgd_step": [
        *numbers(
            SGD,
            lr=[-0.1, float("inf")],
            momentum=[-0.1, float("inf")],
            weight_decay=[-0.1, float("inf")],
        ),
        BadCall(calling(**SGD, nesterov=True), ValueError, "expected more than 0 with nesterov"),
        *shapes("has shape", **SGD)(
            **{name: [floats(2)] for name in ("parameter", "grad", "velocity")}
        ),
        BadCall(calling(**SGD | {"velocity": single(3)}), TypeError, "share one dtype"),
        *state(SGD, "parameter", "velocity"),
    ],
    "kv_append": [
        *shapes("{} has shape", **KV)(
            keys=[floats(2, 9, 4)],
            values=[floats(2, 9, 5), floats(2, 3, 8, 5)],
            k=[floats(2, 1, 4), floats(2, 3, 1, 5), floats(2, 1, 1, 4)],
            v=[floats(2, 1, 5), floats(2, 3, 1, 4), floats(2, 3, 2, 5)],
        ),
        *numbers(KV, length=[-1, 9, 20]),
        *numbers(KV | {"k": floats(2, 3, 3, 4), "v": floats(2, 3, 3, 5)}, length=[7]),
        BadCall(calling(**KV | {"v": single(2, 3, 1, 5)}), TypeError, "share one dtype"),
        BadCall(
            calling(**KV | dict.fromkeys(("keys", "values"), floats(2, 3, 9, 4)) | {"v": KV["k"]}),
            ValueError,
            "share memory",
        ),
    ],
    "padding_mask": [
        BadCall(calling(lengths=np.array(lengths), S=3), error, says)
        for lengths, error, says in (
            ([1, 4], IndexError, r"lengths\[1\] is 4"),
            ([-1, 2], IndexError, r"lengths\[0\] is -1"),
        )
    ],
}
"""By the name of the function."""

REAL = {**vars(ops.checks), **vars(ops)}
"""What the names stand for."""


def complaint(function, bad: BadCall) -> tuple[str, str]:
    """What a function says to a call."""
    try:
        bad.call(function)
    except Exception as error:
        return type(error).__name__, str(error)
    return "none", ""


def parameters(function) -> list[tuple[str, Any]]:
    """Names and defaults."""
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.default) for parameter in found]
