"""What a file must not do is stopped, named, and does no harm."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from minitransformer import ops
from minitransformer.exercises.exercise import Exercise
from minitransformer.exercises.grader import limits, process
from minitransformer.exercises.grader.grading import grade
from minitransformer.exercises.grader.limits import Limits
from minitransformer.exercises.grader.process import LIBRARY

pytestmark = pytest.mark.classroom

RELU = Exercise("relu_forward", "relu", "ReLU", (ops.relu_forward,), "", "", "", ())
LIMITS = Limits(seconds=600.0, memory=2**30, output=2**16)
HASTY = replace(LIMITS, seconds=3.0)

HEAD = "import numpy as np\nimport os, sys\n"
RIGHT = "    return np.maximum(x, 0), x\n"
HOSTILE = {
    "endless loop": ("too_slow", "def relu_forward(x):\n    while True:\n        pass\n"),
    "sleep": ("too_slow", "import time\ndef relu_forward(x):\n    time.sleep(100)\n"),
    "exit": ("exit", "def relu_forward(x):\n    os._exit(0)\n"),
    "sys.exit": ("exit", "def relu_forward(x):\n    sys.exit(0)\n"),
    "exit when loaded": ("exit", "os._exit(0)\ndef relu_forward(x):\n" + RIGHT),
    "crash": (
        "calls_machine_code",
        "import ctypes\ndef relu_forward(x):\n    ctypes.string_at(0)\n",
    ),
    "abort": ("crash", "def relu_forward(x):\n    os.abort()\n"),
    "deep recursion": ("deep_recursion", "def relu_forward(x):\n    return relu_forward(x)\n"),
    "deeper recursion": (
        "deep_recursion",
        "sys.setrecursionlimit(10**9)\ndef relu_forward(x):\n    return relu_forward(x)\n",
    ),
    "much memory": ("too_much_memory", "def relu_forward(x):\n    y = np.ones(2**30)\n" + RIGHT),
    "much output": ("too_much_output", "def relu_forward(x):\n    print('x' * 10**8)\n" + RIGHT),
    "output bit by bit": (
        "too_much_output",
        "def relu_forward(x):\n    while True:\n        print('x' * 1000)\n",
    ),
    "fork": (
        "starts_another_process",
        "def relu_forward(x):\n    while True:\n        os.fork()\n",
    ),
    "program": (
        "starts_another_program",
        "import subprocess\ndef relu_forward(x):\n    subprocess.run(['ls'])\n" + RIGHT,
    ),
    "shell": ("starts_another_program", "def relu_forward(x):\n    os.system('ls')\n" + RIGHT),
    "thread": (
        "starts_a_thread",
        "import threading\ndef relu_forward(x):\n"
        "    threading.Thread(target=lambda: 0).start()\n" + RIGHT,
    ),
    "kill": ("sends_a_signal_to_a_process", "def relu_forward(x):\n    os.kill(os.getppid(), 9)\n"),
    "network": (
        "opens_a_network_connection",
        "import socket\ndef relu_forward(x):\n    socket.socket()\n" + RIGHT,
    ),
    "writes": ("writes_files", "def relu_forward(x):\n    open('FOLDER/planted', 'w')\n" + RIGHT),
    "removes": ("changes_files", "def relu_forward(x):\n    os.remove('FOLDER/relu.py')\n" + RIGHT),
    "reads": ("reads_files", "def relu_forward(x):\n    open('/etc/passwd').read()\n" + RIGHT),
    "reads the parent": (
        "reads_files",
        "def relu_forward(x):\n    open(f'/proc/{os.getppid()}/environ').read()\n" + RIGHT,
    ),
    "reads the library": (
        "reads_the_library",
        f"def relu_forward(x):\n    open({str(LIBRARY / 'ops' / 'activations.py')!r})\n" + RIGHT,
    ),
    "inspects the library": (
        "reads_the_library",
        "import inspect\nfrom minitransformer import ops\ndef relu_forward(x):\n"
        "    inspect.getsource(ops.gelu_forward)\n" + RIGHT,
    ),
    "calls the library": (
        "calls_the_library",
        "from minitransformer.ops import relu_forward as f\n"
        "def relu_forward(x):\n    return f(x)\n",
    ),
    "calls the library's text": (
        "calls_the_library",
        "from minitransformer import ops\ndef relu_forward(x):\n"
        "    return ops.relu_forward.impls['numpy'](x)\n",
    ),
    "calls a module of the library": (
        "calls_the_library",
        "from minitransformer import nn\nfrom minitransformer.nn import layers\n"
        "from minitransformer import ops\n"
        "def relu_forward(x):\n    return ops.relu_forward.__wrapped__(x)\n",
    ),
    "imports the references": (
        "calls_the_library",
        "def relu_forward(x):\n    from minitransformer.testing import definitions\n" + RIGHT,
    ),
    "imports by a name": (
        "calls_the_library",
        "def relu_forward(x):\n    __import__('mini' + 'transformer.ops')\n" + RIGHT,
    ),
    "torch": ("calls_a_framework", "import torch\ndef relu_forward(x):\n" + RIGHT),
    "torch by a name": (
        "calls_a_framework",
        "def relu_forward(x):\n    __import__('tor' + 'ch')\n" + RIGHT,
    ),
    "changes numpy": ("changes_library", "np.maximum = np.minimum\ndef relu_forward(x):\n" + RIGHT),
    "changes numpy later": (
        "changes_library",
        "def relu_forward(x):\n    np.allclose = lambda *a, **k: True\n" + RIGHT,
    ),
    "changes Python": (
        "changes_library",
        "import builtins\nbuiltins.print = abs\ndef relu_forward(x):\n" + RIGHT,
    ),
    "changes the library": (
        "changes_library",
        "from minitransformer import ops\nops.gelu_forward = 1\ndef relu_forward(x):\n" + RIGHT,
    ),
    "looks through memory": (
        "looks_through_the_memory_of_its_process",
        "import gc\ndef relu_forward(x):\n    gc.get_objects()\n" + RIGHT,
    ),
    "writes into the pipe": (
        "breaks_the_protocol",
        "def relu_forward(x):\n    for fd in range(3, 20):\n        try:\n"
        "            os.write(fd, b'{\"accepted\": true}' * 999)\n"
        "        except OSError:\n            pass\n",
    ),
}


def judge(text: str, folder: Path, limits=LIMITS):
    path = folder / "relu.py"
    path.write_text(HEAD + text.replace("FOLDER", folder.as_posix()), encoding="utf-8")
    return grade(path, [RELU], limits=limits)


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_stopped(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    offence, text = HOSTILE[name]
    before = set(threading.enumerate())
    verdict = judge(text, tmp_path, HASTY if offence == "too_slow" else LIMITS)
    assert (verdict.status, verdict.mistake) == ("stopped", offence)
    assert verdict.points == 0
    assert verdict.message.startswith("Your answer ")
    assert set(threading.enumerate()) <= before
    assert os.listdir(tmp_path) == ["relu.py"]


def test_memory_is_watched_where_it_cannot_be_limited(tmp_path, monkeypatch):
    """As on macOS, whose limits are not kept; and without the module that sets them."""
    monkeypatch.setattr(limits.sys, "platform", "darwin")
    without_limits = f"import sys; sys.modules['resource'] = None; {process._START}"
    monkeypatch.setattr(process, "_START", without_limits)
    text = (
        "import time\ndef relu_forward(x):\n    hoard = []\n    while True:\n"
        "        hoard.append(np.ones(2**20))\n        time.sleep(0.01)\n"
    )
    verdict = judge(text, tmp_path)
    assert (verdict.status, verdict.mistake) == ("stopped", "too_much_memory")


def test_the_time_of_the_functions_that_a_test_calls_is_its_own(tmp_path):
    def slow(x):
        time.sleep(1.0)

    exercise = Exercise(
        "test_slow", "slow", "Slow", (test_it_is_stopped,), "", "", "", (), 1, "test", (slow,)
    )
    path = tmp_path / "slow.py"
    text = "def test_it_is_stopped(slow):\n    while True:\n        slow(1.0)\n"
    path.write_text(text, encoding="utf-8")
    verdict = grade(path, [exercise], limits=HASTY)
    assert (verdict.status, verdict.mistake) == ("stopped", "too_slow")


@pytest.mark.parametrize("text", ["f(np.ones(2**15))", "f([0] * 2**15)", "f(x=(np.ones(2**15),))"])
def test_functions_on_trial_take_few_numbers(text, tmp_path):
    exercise = Exercise(
        "test_few", "few", "Few", (test_it_is_stopped,), "", "", "", (), 1, "test", (len,)
    )
    path = tmp_path / "few.py"
    source = f"import numpy as np\ndef test_it_is_stopped(f):\n    {text}\n"
    path.write_text(source, encoding="utf-8")
    verdict = grade(path, [exercise], limits=LIMITS)
    assert verdict.mistake == "right_version_refused"
    assert "the arguments hold 32,768 numbers, expected 16,384 or fewer" in verdict.message


def test_the_environment_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    verdict = judge("def relu_forward(x):\n    raise ValueError(str(dict(os.environ)))\n", tmp_path)
    assert verdict.status == "wrong"
    assert "swordfish" not in str(verdict.as_json())


def test_a_printed_verdict_is_no_verdict(tmp_path):
    verdict = judge("def relu_forward(x):\n    print('{\"accepted\": true}')\n", tmp_path)
    assert (verdict.status, verdict.mistake) == ("wrong", "returns_nothing")


def test_what_is_written_to_its_own_folder_disappears(tmp_path):
    text = "def relu_forward(x):\n    open('notes.txt', 'w').write('x')\n" + RIGHT
    assert judge(text, tmp_path).accepted
    assert os.listdir(tmp_path) == ["relu.py"]


def test_harmless_things_are_allowed(tmp_path):
    text = (
        "import warnings, traceback, random, functools, collections, dataclasses, typing\n"
        "from minitransformer import ops\n"
        "from minitransformer.ops import gelu_forward\n"
        "def relu_forward(x):\n"
        "    print('debugging', x.shape)\n"
        "    warnings.warn('careful')\n"
        "    ops.silu_forward(x), gelu_forward(x)\n"
        "    try:\n"
        "        1 / 0\n"
        "    except ZeroDivisionError:\n"
        "        traceback.print_exc()\n" + RIGHT
    )
    assert judge(text, tmp_path).accepted
