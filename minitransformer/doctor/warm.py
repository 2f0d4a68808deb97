"""Compile the kernels of the numba backend ahead of time, on several cores."""

import gc
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import numba
import numpy as np

from minitransformer.backend import use_backend
from minitransformer.backends.numba import disk_cache, threads
from minitransformer.data import Batch
from minitransformer.generation import generate
from minitransformer.models import GPT, GPTConfig
from minitransformer.nn.stack import run_blocks
from minitransformer.optim import AdamW
from minitransformer.testing.functions import FUNCTIONS
from minitransformer.testing.specs import SPECS, OpSpec
from minitransformer.testing.subject import Subject, cast
from minitransformer.training import train

TRAINING = "training and generation"
"""The job that loads what the others compiled and compiles what they left."""
LOOPS = "loops over shards"
"""The job that compiles how cores share out work."""
TOKEN = "a token of a text"
"""The job that compiles what reads one token, as generation does."""
LARGER = 4
"""Factor of a specification's lengths: small products have kernels of their own."""


PAIRS_OF_GPT = (
    *("linear", "attention", "layer_norm", "cross_entropy", "embedding"),
    *("split_heads", "merge_heads", "add", "gelu", "dropout"),
)
"""What training and generation need, the longest to compile first."""
OTHER_CASES = {"linear": "transposed", "add": "positions"}
"""A case beside an op's first one that needs another kernel."""
VERBS = ("adamw_step", "accumulate", "zero_", "scale_", "sum_of_squares", "kv_append")


def jobs(everything: bool) -> list[str]:
    """Names of the ops to compile, or of those that a GPT needs, in the order to begin with them.

    All forwards come first: a backward finds its forward compiled, perhaps by another process.
    """
    others = [name for name, spec in SPECS.items() if "numba" in spec.forward.impls]
    others = [name for name in others if name not in PAIRS_OF_GPT]
    pairs = [*PAIRS_OF_GPT, *(others if everything else ())]
    verbs = [*VERBS, *(["sgd_step"] if everything else [])]
    return [
        TOKEN,
        *(f"{pair}_forward" for pair in pairs),
        *(f"{pair}_backward" for pair in pairs),
        *verbs,
        LOOPS,
        TRAINING,
    ]


def warm(job: str) -> str:
    """Compile what an op needs in float32, or training and generation do; returns the name."""
    pair, _, direction = job.rpartition("_")
    with use_backend("numba"):
        if job == TRAINING:
            _train_and_generate()
        elif job == TOKEN:
            _read_a_token()
        elif job == LOOPS:
            threads.compile_loops()
        elif direction in ("forward", "backward"):
            _call(SPECS[pair], direction == "backward")
        else:
            spec = FUNCTIONS[job]
            arguments = next(iter(spec.inputs(np.random.default_rng(0)).values()))
            spec.function(**cast(arguments, "float32"))
    return job


def _call(spec: OpSpec, with_backward: bool) -> None:
    subject = Subject(spec, "numba", "float32")
    for factor in (1, LARGER):
        sizes = {letter: factor * size for letter, size in spec.dims.items()}
        cases = spec.cases(dims=sizes)
        for case in {next(iter(cases)), OTHER_CASES.get(spec.name, next(iter(cases)))}:
            y, cache = subject.forward(cast(cases[case], "float32"))
            if with_backward:
                subject.backward(tuple(map(np.ones_like, y)) if isinstance(y, tuple) else y, cache)


def warm_all(names: Sequence[str]) -> Iterator[str]:
    """Do jobs in a process for each core, at most four; yields the name of each when it is done.

    The last one is done here, when the others are: two processes that compile the same may lose
    what one of them has saved, and it finds what is missing.
    """
    *apart, last = names
    spawn = multiprocessing.get_context("spawn")
    workers = min(4, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin) as pool:
        try:
            for done in as_completed([pool.submit(warm, job) for job in apart]):
                yield done.result()
        except BaseException:  # Ctrl-C, or nobody asks for more
            pool.shutdown(cancel_futures=True)
            raise
    yield warm(last)
    disk_cache.mark_warm()


def _begin() -> None:
    """Let garbage lie: a compiler keeps most of what it makes, and to look takes long."""
    gc.disable()
    _alone()


def _alone() -> None:
    """One thread for each worker: they compile, and hardly compute.

    ``NUMBA_NUM_THREADS`` would come too late: where the first kernels are found on disk, threads
    are started by the number that was read at import, and the first one to compile would fail.
    """
    numba.set_num_threads(1)


def _read_a_token() -> None:
    model = GPT(GPTConfig(vocab_size=50, context=32, layers=1, heads=2, width=32))
    run_blocks(model.blocks, np.ones((1, 1, 32), np.float32), kv=model.new_kv(1))


def _train_and_generate() -> None:
    config = GPTConfig(vocab_size=50, context=32, layers=1, heads=2, width=32, dropout=0.1)
    model = GPT(config)
    ids = np.random.default_rng(0).integers(0, 50, (4, 33))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    optimizer = AdamW(model.parameters(), lr=0.0)
    for _ in train(model, optimizer, lambda index: batch, lambda step: 0.0, steps=1, clip=1e-9):
        pass
    generate(model, list(ids[0, :9]), max_new_tokens=2, do_sample=False)
