"""llm.c: the same GPT in plain C with OpenMP, built from its source as its own Makefile does.

It has no clipping, and decays all parameters or none; its task leaves both out.
"""

import ctypes
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestant import timed
from benchmarks.evidence import Array, Evidence
from benchmarks.problem import BETAS, EPS, LEARNING_RATE, VALIDATION_STEPS, Problem, Size

SHIM = r"""
#define TESTING
#include "train_gpt2.c"
static GPT2 model;
void build(const char *path) { gpt2_build_from_checkpoint(&model, path); }
float gradient(int *inputs, int *targets, int B, int T) {
    gpt2_forward(&model, inputs, targets, B, T);
    gpt2_zero_grad(&model);
    gpt2_backward(&model);
    return model.mean_loss;
}
void update(float lr, float beta1, float beta2, float eps, int t) {
    gpt2_update(&model, lr, beta1, beta2, eps, 0.0f, t);
}
float *gradients(void) { return model.grads_memory; }
"""
FLAGS = ("-Ofast", "-march=native", "-fopenmp", "-DOMP", "-shared", "-fPIC", "-w")
MAGIC, VERSION, HEADER, PADDING = 20240326, 3, 256, 128

NAMES = (
    "token_embedding.weight",
    "positions.weight",
    "blocks.{}.attention_norm.gamma",
    "blocks.{}.attention_norm.beta",
    "blocks.{}.attention.query_key_value.weight",
    "blocks.{}.attention.query_key_value.bias",
    "blocks.{}.attention.projection.weight",
    "blocks.{}.attention.projection.bias",
    "blocks.{}.feed_forward_norm.gamma",
    "blocks.{}.feed_forward_norm.beta",
    "blocks.{}.feed_forward.expand.weight",
    "blocks.{}.feed_forward.expand.bias",
    "blocks.{}.feed_forward.contract.weight",
    "blocks.{}.feed_forward.contract.bias",
    "norm.gamma",
    "norm.beta",
)
"""Our names in the order of its parameters; those of all layers stand together."""


class Training:
    """Training steps."""

    def __init__(self, size: dict[str, Any], source: str) -> None:
        self.problem = Problem(Size.of(size), weight_decay=0.0, clip=float("inf"))
        self.layout = [
            name.format(layer)
            for name in NAMES
            for layer in range(self.problem.size.model.layers if "{}" in name else 1)
        ]
        self.parameters = self.problem.parameters()
        with tempfile.TemporaryDirectory() as folder:
            self.library = compiled(Path(source), Path(folder))
            checkpoint = Path(folder, "checkpoint.bin")
            self._save(checkpoint)
            self.library.build(str(checkpoint).encode())
        self.indices = count()

    def validate(self) -> Evidence:
        loss = self._gradient(0)
        gradients = self._gradients()
        curve = [self.step() for _ in range(VALIDATION_STEPS)]
        return {"loss": np.array(loss), "loss curve": np.array(curve), **gradients}

    def run(self, steps: int) -> list[float]:
        return timed(self.step, steps)

    def step(self) -> float:
        """One step; its loss."""
        index = next(self.indices)
        loss = self._gradient(index)
        self.library.update(LEARNING_RATE, *BETAS, EPS, index + 1)
        return loss

    def _gradient(self, index: int) -> float:
        inputs, targets = (ids.astype(np.int32) for ids in self.problem.inputs_and_targets(index))
        return float(self.library.gradient(_pointer(inputs), _pointer(targets), *inputs.shape))

    def _save(self, path: Path) -> None:
        """Write our weights as one of its checkpoints."""
        model = self.problem.size.model
        header = np.zeros(HEADER, np.int32)
        header[:8] = (
            *(MAGIC, VERSION, model.context, model.vocab_size, model.layers, model.heads),
            *(model.width, self._padded_vocabulary()),
        )
        with path.open("wb") as file:
            file.write(header.tobytes())
            for name in self.layout:
                array = as_theirs(name, self.parameters[name])
                file.write(array.tobytes())
                if name == "token_embedding.weight":
                    rows = self._padded_vocabulary() - len(array)
                    file.write(np.zeros((rows, model.width), np.float32).tobytes())

    def _gradients(self) -> dict[str, Array]:
        address = self.library.gradients()
        found, start = {}, 0
        for name in self.layout:
            ours = self.parameters[name]
            shape = as_theirs(name, ours).shape
            flat = np.ctypeslib.as_array(address, (start + ours.size,))[start:]
            found[name] = as_theirs(name, flat.reshape(shape)).copy()
            padding = self._padded_vocabulary() - len(ours) if name.startswith("token") else 0
            start += ours.size + padding * self.problem.size.model.width
        return found

    def _padded_vocabulary(self) -> int:
        return -(-self.problem.size.model.vocab_size // PADDING) * PADDING


def compiled(source: Path, folder: Path) -> ctypes.CDLL:
    """Build train_gpt2.c as a library, with its Makefile's flags."""
    shim, library = folder / "shim.c", folder / "llm_c.so"
    shim.write_text(SHIM, encoding="utf-8")
    command = ["cc", *FLAGS, f"-I{source.absolute()}", str(shim), "-lm", "-o", str(library)]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.gradient.restype = ctypes.c_float
    loaded.update.argtypes = (*[ctypes.c_float] * 4, ctypes.c_int)
    loaded.gradients.restype = ctypes.POINTER(ctypes.c_float)
    return loaded


def as_theirs(name: str, array: Array) -> Array:
    """Matrices of linear layers are stored (out, in); the way back is the same."""
    is_linear = name.startswith("blocks") and array.ndim == 2
    return array.T if is_linear else array


def _pointer(ids: Array) -> "ctypes._Pointer[ctypes.c_int]":
    return ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int))
