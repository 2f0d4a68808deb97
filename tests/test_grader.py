"""Answers in any style are accepted, wrong ones refused and named, and nothing else is one."""

import inspect
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.grader import grading
from minitransformer.exercises.grader.answer import NotGradableError, read_answer, which_exercise
from minitransformer.exercises.grader.limits import Deadline, Limits

pytestmark = pytest.mark.classroom

WRONG = runpy.run_path(str(Path(__file__).with_name("wrong_answers.py")))["WRONG"]
ROOMY = Limits(seconds=3600.0)

RIGHT = {
    "loops": (
        "softmax_forward",
        "import math\n"
        "def softmax_forward(x, mask=None):\n"
        "    seen = np.broadcast_to(True if mask is None else mask, x.shape)\n"
        "    y = np.zeros_like(x)\n"
        "    for row in np.ndindex(x.shape[:-1]):\n"
        "        top = max((float(v) for v, s in zip(x[row], seen[row]) if s), default=-math.inf)\n"
        "        if top == -math.inf:\n"
        "            continue\n"
        "        w = [math.exp(v - top) if s else 0.0 for v, s in zip(x[row], seen[row])]\n"
        "        y[row] = [v / math.fsum(w) for v in w]\n"
        "    return y, {'probabilities': y}\n",
    ),
    "y alone": (
        "rms_norm_forward",
        "def rms_norm_forward(a, g, e=1e-6):\n"
        "    b = a.astype(np.float64)\n"
        "    return (g * b / np.sqrt(np.square(b).mean(-1, keepdims=True) + e)).astype(a.dtype)\n",
    ),
    "other names, own cache, einsum": (
        "layer_norm_backward",
        "class Memo:\n    pass\n"
        "def layer_norm_forward(h, g, b, epsilon=1e-5):\n"
        "    memo = Memo()\n"
        "    z = h.astype(np.float64)\n"
        "    z = z - np.einsum('...c->...', z)[..., None] / z.shape[-1]\n"
        "    memo.s = 1 / np.sqrt(np.einsum('...c,...c->...', z, z) / z.shape[-1] + epsilon)\n"
        "    memo.z, memo.g = z * memo.s[..., None], g\n"
        "    return (memo.z * g + b).astype(h.dtype), memo\n"
        "def layer_norm_backward(grad, memo):\n"
        "    flat, z = (a.reshape(-1, a.shape[-1]) for a in (grad, memo.z))\n"
        "    u = grad * memo.g\n"
        "    mean = u.mean(-1)[..., None]\n"
        "    dot = (u * memo.z).mean(-1)[..., None]\n"
        "    dh = memo.s[..., None] * (u - mean - memo.z * dot)\n"
        "    results = dh, np.einsum('nc,nc->c', flat, z), flat.sum(0)\n"
        "    return tuple(r.astype(grad.dtype) for r in results)\n",
    ),
    "recomputing": (
        "softmax_backward",
        "def softmax_forward(x, mask=None):\n"
        "    m = np.full(x.shape, True) if mask is None else np.broadcast_to(mask, x.shape)\n"
        "    return probabilities(x, m), (x.copy(), m.copy())\n"
        "def probabilities(x, m):\n"
        "    x = np.where(m, x, -np.inf)\n"
        "    top = x.max(-1, keepdims=True)\n"
        "    e = np.exp(x - np.where(top > -np.inf, top, 0))\n"
        "    return (e / np.maximum(e.sum(-1, keepdims=True), 1e-30)).astype(x.dtype)\n"
        "def softmax_backward(dy, c):\n"
        "    y = probabilities(*c)\n"
        "    return (y * (dy - (y * dy).sum(-1)[..., None]),)\n",
    ),
    "textbook's cache, loops": (
        "embedding_backward",
        "def embedding_backward(dy, cache):\n"
        "    dw = np.zeros_like(cache.w)\n"
        "    for i in np.ndindex(cache.ids.shape):\n"
        "        dw[int(cache.ids[i])] += dy[i]\n"
        "    return dw,\n",
    ),
    "views": (
        "split_heads_forward",
        "def split_heads_forward(x, heads):\n"
        "    y = x.reshape(*x.shape[:2], sum(heads), -1).transpose(0, 2, 1, 3)\n"
        "    return tuple(np.split(y, np.cumsum(heads)[:-1], axis=1)), None\n",
    ),
    "with the library's help": (
        "attention_forward",
        "from minitransformer.ops import softmax_forward, causal_mask\n"
        "def attention_forward(q, k, v, mask=None, causal=False, scale=None, keep=None, p=0.0):\n"
        "    T, S, D = q.shape[2], k.shape[2], q.shape[3]\n"
        "    k, v = (np.repeat(a, q.shape[1] // a.shape[1], 1) for a in (k, v))\n"
        "    s = q @ k.swapaxes(-1, -2) * (D ** -0.5 if scale is None else scale)\n"
        "    seen = causal_mask(T, S) if causal else np.ones((T, S), bool)\n"
        "    w, _ = softmax_forward(s.astype(q.dtype), seen if mask is None else seen & mask)\n"
        "    if keep is not None:\n"
        "        w = (w * keep / (1 - p)).astype(q.dtype)\n"
        "    return w @ v, 0\n",
    ),
    "an array for a list": (
        "bpe_merge",
        "def bpe_merge(ids, pair, new_id):\n"
        "    out, i = [], 0\n"
        "    while i < len(ids):\n"
        "        hit = tuple(ids[i:i + 2]) == tuple(pair)\n"
        "        out.append(new_id if hit else ids[i])\n"
        "        i += 1 + hit\n"
        "    return np.array(out, dtype=np.int32)\n",
    ),
}


@pytest.fixture
def judge(tmp_path):
    def judge(text, exercise=None, name="answer.py"):
        path = tmp_path / name
        path.write_text(f"import numpy as np\n{text}", encoding="utf-8")
        chosen = CATALOGUE[exercise] if exercise else None
        return grading.grade(path, CATALOGUE.values(), chosen, ROOMY)

    return judge


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_in_another_style_is_accepted(name, judge):
    exercise, text = RIGHT[name]
    verdict = judge(text)
    assert verdict.accepted, f"{verdict.mistake}: {verdict.message}\n{verdict.counterexample}"
    assert verdict.exercise is CATALOGUE[exercise]
    assert verdict.points == CATALOGUE[exercise].points
    assert verdict.checks > 20
    assert verdict.exit_code == 0


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_named(name, judge, monkeypatch):
    monkeypatch.setattr(grading, "smaller", lambda task, case, *rest: case)  # tried below
    exercise, mistakes, text = WRONG[name]
    verdict = judge(text, exercise)
    assert verdict.status == "wrong"
    assert verdict.mistake in mistakes, verdict.message
    assert verdict.hint
    assert verdict.points == 0
    assert verdict.exit_code == 1


def test_the_failing_input_is_small_and_the_same_again(judge):
    first, again = (judge(WRONG["mean constant"][2]) for _ in range(2))
    shown = first.counterexample
    assert shown.arguments["x"].size <= 2
    assert np.array_equal(shown.arguments["x"], np.round(shown.arguments["x"]))
    assert shown.name == "dx"
    assert shown.index is not None
    assert shown.got[shown.index] != shown.expected[shown.index]
    assert "first difference at index" in str(shown)
    assert json.dumps(first.as_json()) == json.dumps(again.as_json())


def test_a_verdict_does_not_wait_for_the_name_of_the_mistake(judge, monkeypatch):
    monkeypatch.setattr(Deadline, "is_over", True)
    verdict = judge(WRONG["mean constant"][2])
    assert verdict.status == "wrong"
    assert verdict.mistake not in WRONG["mean constant"][1]
    assert verdict.counterexample.name == "dx"


def test_what_is_right_before_an_exception_is_not_called_wrong(judge):
    verdict = judge(WRONG["backward alone raises"][2])
    assert verdict.message.startswith("Line 7, `return dy * r, gamma`, uses a name that has no")
    assert "NameError" in verdict.counterexample.raised
    assert "Your y" not in verdict.message


def test_the_solution_is_not_in_the_verdict(judge):
    verdict = judge(WRONG["mean constant"][2])
    lines = inspect.getsource(CATALOGUE["layer_norm_backward"].function).splitlines()
    told = str(verdict.as_json())
    assert not [line for line in lines if "=" in line and line.strip() in told]


def test_a_stub_is_not_done(judge):
    verdict = judge(
        'def softmax_forward(x, mask=None):\n    """Goal."""\n    raise NotImplementedError("x")\n'
    )
    assert (verdict.status, verdict.exit_code, verdict.points) == ("not done", 2, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def softmax_forward(x:\n", "line 2 of answer.py is no Python"),
        ("def helper(x): pass\n", "defines no function of an exercise"),
        ("1 / 0\ndef softmax_forward(x, mask=None): return x\n", "cannot be run: line 2"),
        (
            "def softmax_forward(x): pass\ndef top_k(x, k): pass\n",
            "answers 2 exercises, softmax_forward, top_k: say which with --exercise",
        ),
    ],
)
def test_what_cannot_be_graded_says_why(text, message, judge):
    verdict = judge(text)
    assert verdict.status == "not gradable"
    assert message in verdict.message
    assert verdict.exit_code == 2


def exercise_of(text, tmp_path, name="answer.py"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return which_exercise(read_answer(path), CATALOGUE.values()).id


def test_the_functions_tell_the_exercise(tmp_path):
    pair = "def softmax_forward(x): pass\ndef softmax_backward(dy, c): pass\n"
    assert exercise_of(pair, tmp_path) == "softmax_backward"
    helper = "def softmax_forward(x): pass\ndef attention_forward(q): return softmax_forward(q)\n"
    assert exercise_of(helper, tmp_path) == "attention_forward"
    two = "def top_k(x): pass\ndef top_p(x): pass\n"
    assert exercise_of(two, tmp_path, "top_p.py") == "top_p"
    with pytest.raises(NotGradableError, match="2 exercises"):
        exercise_of(two, tmp_path)


def test_a_test_is_judged_by_what_it_finds(judge):
    nothing = "def test_softmax_forward(softmax_forward):\n    pass\n"
    verdict = judge(nothing)
    assert (verdict.status, verdict.mistake) == ("wrong", "wrong_version_accepted")
    assert "finds 0 of" in verdict.message
    everything = "def test_softmax_forward(softmax_forward):\n    assert False, 'never'\n"
    assert judge(everything).mistake == "right_version_refused"
