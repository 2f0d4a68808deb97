"""Training as processes of mpiexec: equal results, clean ends, nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from minitransformer.checkpoints import load_checkpoint, newest_checkpoint

pytest.importorskip("mpi4py", reason="needs mpi4py: pip install -e '.[mpi]'")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec: pip install -e '.[mpi]'"),
]

PATIENCE = 600  # seconds for what takes some, on a machine that has other work
TRAIN = [sys.executable, "-m", "minitransformer", "train"]
TINY = [
    *("--layers", "1", "--heads", "2", "--width", "16", "--context", "16", "--batch", "6"),
    *("--evaluate-every", "4", "--evaluate-batches", "2", "--backend", "numpy"),
]

WITH_LITTLE_SPACE = """
import os, resource, runpy, signal, sys
sys.dont_write_bytecode = True  # half of a file would stay
from mpi4py import MPI  # which needs space of its own

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
space = os.path.getsize("run/metrics.jsonl") + 4096
resource.setrlimit(resource.RLIMIT_FSIZE, (space, space))
runpy.run_module("minitransformer", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("to be, or not to be: that is the question.\n" * 40)


def mpi(*ranks):
    """Run one command line for each rank, or the same for several, and wait for the end."""
    separated = [part for rank in ranks for part in (":", "-n", "1", *rank)][1:]
    return subprocess.run(
        [MPIEXEC, *separated], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def command(out, *more, steps=8):
    return [*TRAIN, "--data", "text.txt", *TINY, "--steps", str(steps), "--out", out, *more]


def train(n, out, *more, steps=8):
    done = mpi(*[command(out, *more, steps=steps)] * n)
    assert done.returncode == 0, done.stderr
    return done


def parameters(out):
    return load_checkpoint(newest_checkpoint(Path(out))).parameters


def assert_close(out, expected):
    for name, array in parameters(out).items():
        np.testing.assert_allclose(array, parameters(expected)[name], atol=2e-5)


def validations(out):
    records = [json.loads(line) for line in Path(out, "metrics.jsonl").read_text().splitlines()]
    return [record["validation_loss"] for record in records if "validation_loss" in record]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("more", [[], ["--shard-optimizer"]], ids=["replicated", "sharded"])
def test_ranks_train_what_one_trains(n, more):
    train(1, "one")
    told = train(n, "many", *more)
    assert_close("many", "one")
    assert f"ranks  {n}, {n} of them on this machine" in told.stdout
    assert told.stdout.count("this model, on validation text") == 1
    assert told.stderr == ""


def test_the_same_ranks_give_the_same_bits():
    train(2, "a")
    train(2, "b")
    assert newest_checkpoint(Path("a")).read_bytes() == newest_checkpoint(Path("b")).read_bytes()


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_ranks(before, after):
    train(1, "whole", steps=8)
    train(before, "parts", "--shard-optimizer", "--final-learning-rate", "3e-3", steps=4)
    shutil.rmtree("parts")
    train(before, "parts", "--patience", "9", steps=8)
    for path in sorted(Path("parts/checkpoints").glob("*"))[1:]:
        path.unlink()  # as if stopped at step 4
    done = mpi(*[[*TRAIN, "--resume", "parts"]] * after)
    assert done.returncode == 0, done.stderr
    assert_close("parts", "whole")


def test_ranks_stop_early_where_one_does():
    worse = ("--patience", "1", "--learning-rate", "1.0", "--evaluate-every", "2")
    train(1, "one", *worse, steps=40)
    told = train(2, "many", *worse, "--shard-optimizer", steps=40)
    assert told.stdout.count("no better validation loss in 1: going back") == 1
    step = load_checkpoint(newest_checkpoint(Path("one"))).step
    assert load_checkpoint(newest_checkpoint(Path("many"))).step == step < 40
    np.testing.assert_allclose(validations("many"), validations("one"), rtol=1e-3)


def test_ranks_that_were_started_unlike_are_refused():
    done = mpi(command("run"), command("run", "--seed", "7"))
    assert done.returncode != 0
    assert "the ranks do not agree on seed: rank 0 has '1'; rank 1 has '7'" in done.stderr
    assert not Path("run").exists()


def test_ranks_that_see_other_data_are_refused():
    train(1, "run", steps=4)
    shutil.copytree("run", "elsewhere/run")
    tokens = Path("elsewhere/run/tokens.npy")
    tokens.write_bytes(tokens.read_bytes()[:-2] + b"\5\0")
    resume = [*TRAIN, "--resume", "run", "--steps", "8"]
    done = mpi(resume, ["-wdir", str(Path("elsewhere").resolve()), *resume])
    assert done.returncode != 0
    assert "the ranks do not agree on the file tokens.npy" in done.stderr
    assert load_checkpoint(newest_checkpoint(Path("run"))).step == 4


def test_ranks_with_other_versions_are_refused():
    other = (
        "import runpy, numpy; numpy.__version__ += '.1';"
        "runpy.run_module('minitransformer', run_name='__main__', alter_sys=True)"
    )
    done = mpi(command("run"), [sys.executable, "-c", other, *command("run")[3:]])
    assert done.returncode != 0
    assert "the ranks do not agree on the version of NumPy" in done.stderr
    assert f"rank 1 has '{np.__version__}.1'" in done.stderr
    assert not Path("run").exists()


def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on():
    began = time.monotonic()
    with open("told.txt", "wb") as told:  # unlike a pipe it is never full
        process = subprocess.Popen(
            [MPIEXEC, "-n", "2", *command("run", steps=100_000)], stdout=told, stderr=told
        )
    try:
        while len(list(Path().glob("run/checkpoints/*"))) < 2:
            assert process.poll() is None, Path("told.txt").read_text(encoding="utf-8")
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.05)
        ranks = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "python" in child.name() and child.environ().get("PMI_RANK") == "1"
        ]
        ranks[0].send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode != 0
    step = load_checkpoint(newest_checkpoint(Path("run"))).step
    done = mpi(*[[*TRAIN, "--resume", "run", "--steps", str(step + 4)]] * 2)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(newest_checkpoint(Path("run"))).step == step + 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of file sizes")
def test_a_full_disk_ends_all_ranks_with_one_message():
    train(2, "run", steps=4)
    resume = ["train", "--resume", "run", "--steps", "400"]
    done = mpi([sys.executable, "-c", WITH_LITTLE_SPACE, *resume], [*TRAIN[:-1], *resume])
    assert done.returncode != 0
    assert done.stderr.count("error:") == 1
    assert "go on with: minitransformer train --resume" in done.stderr
    assert load_checkpoint(newest_checkpoint(Path("run"))).step >= 4


def test_a_flag_that_is_wrong_is_told_once():
    done = mpi(*[command("run", "--stepz", "3")] * 2)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count("stepz") <= 3


def test_cores_are_shared_out():
    code = (
        "from minitransformer.launch import share_cores, cores, local_ranks\n"
        "import json, os, pathlib\n"
        "threads = share_cores()\n"
        "told = [local_ranks() * threads, max(cores(), local_ranks()),"
        " os.environ['OPENBLAS_NUM_THREADS'] == str(threads)]\n"
        "pathlib.Path(f'{os.getpid()}.json').write_text(json.dumps(told), encoding='utf-8')"
    )
    done = mpi(*[[sys.executable, "-c", code]] * 2)
    assert done.returncode == 0, done.stderr
    told = [json.loads(file.read_text(encoding="utf-8")) for file in Path().glob("*.json")]
    assert len(told) == 2
    for used, there, openblas_was_told in told:
        assert used <= there
        assert openblas_was_told


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def two_hosts(tmp_path):
    """Two network namespaces with a cable between them; a command that enters one as ssh would."""
    if shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs Linux, the ip command and root to make network namespaces")
    names = [f"mini{os.getpid()}{side}" for side in "ab"]
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "cable", "netns", names[0], "type", "veth",
               "peer", "name", "cable", "netns", names[1])  # fmt: skip
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine lets nobody make network namespaces: {error.stderr}")
        for number, name in enumerate(names, start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        enter = tmp_path / "enter"
        enter.write_text(
            "#!/bin/sh\n"
            'while [ "${1#-}" != "$1" ]; do shift; done\n'  # flags meant for ssh
            f'case "$1" in 10.77.0.1) name={names[0]};; *) name={names[1]};; esac\n'
            'shift; exec ip netns exec "$name" sh -c "$*"\n'
        )
        enter.chmod(0o755)
        yield names[0], enter
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def test_two_hosts_train_over_their_network(two_hosts):
    first, enter = two_hosts
    train(1, "one")
    hosts = ["-hosts", "10.77.0.1,10.77.0.2", "-ppn", "1", "-n", "2"]
    launcher = ["-launcher", "ssh", "-launcher-exec", str(enter), "-iface", "cable"]
    network = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "cable"}  # and no shared memory
    done = subprocess.run(
        ["ip", "netns", "exec", first, MPIEXEC, *launcher, *hosts, *command("two")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=os.environ | network,
    )
    assert done.returncode == 0, done.stderr
    assert "ranks  2, 1 of them on this machine" in done.stdout
    assert_close("two", "one")
