"""What holds for every test: one thread per worker, replayable examples, checked shapes."""

import os

# Inherited by the workers, whose OpenBLAS reads it when it is loaded: they are the parallelism.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The kernels of the numba backend, which take a while to compile, have tests of their own.
os.environ.setdefault("MINITRANSFORMER_BACKEND", "numpy")
# Tables are as wide as a terminal is.
os.environ["COLUMNS"] = "80"

from importlib.util import find_spec

import hypothesis
import jaxtyping
import pytest

hypothesis.settings.register_profile(
    "minitransformer",
    deadline=None,  # the first call of a compiled kernel takes seconds
    derandomize="CI" in os.environ,
    print_blob=True,
)
hypothesis.settings.load_profile("minitransformer")

if find_spec("beartype"):
    jaxtyping.install_import_hook("minitransformer.ops", "beartype.beartype")
jaxtyping.config.update("jaxtyping_disable", True)


@pytest.fixture(scope="module")
def checked_shapes():
    """Let ops look at the shapes that they are annotated with; they take three times as long."""
    jaxtyping.config.update("jaxtyping_disable", False)
    yield
    jaxtyping.config.update("jaxtyping_disable", True)
