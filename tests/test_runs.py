import dataclasses
import errno
import json
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from minitransformer import backend, checkpoints, files, records
from minitransformer.checkpoints import checkpoint_files, load_checkpoint, newest_checkpoint
from minitransformer.configuration import TrainConfig
from minitransformer.data import sample_batch
from minitransformer.errors import InputError, NonFiniteError
from minitransformer.runs import Run, load_run, saved_config, starting
from minitransformer.runs import run as run_module
from minitransformer.schedules import warmup_cosine
from minitransformer.tasks import windows
from minitransformer.tokenizers import CharTokenizer
from tests.full_disk import files_of_at_most

TEXT = "to be, or not to be: that is the question.\n" * 12
TINY = TrainConfig(
    tokenizer="char",
    bpe_tokens=270,
    context=8,
    layers=1,
    heads=2,
    width=16,
    dropout=0.2,
    steps=7,
    batch=2,
    evaluate_every=3,
    evaluate_batches=2,
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "_active", None)
    Path("text.txt").write_text(TEXT, encoding="utf-8")


def tiny(**settings):
    return dataclasses.replace(TINY, data=(Path("text.txt"),), **settings)


def finish(run, stop=None):
    """Train as the command does, or stop and save after a step."""
    for step in run.steps():
        if step.index % run.config.evaluate_every == 0 and step.index < run.config.steps:
            run.validate(run.config.evaluate_batches)
            run.save()
        if step.index == stop:
            run.save()
            return
    run.validate()
    run.save()


def contents(folder="."):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def outcome(folder):
    """All that a finished run must have alike, however often it was stopped."""
    metrics = [
        {name: value for name, value in json.loads(line).items() if name != "tokens_per_second"}
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return newest_checkpoint(folder).name, newest_checkpoint(folder).read_bytes(), metrics


# ---- beginning ----


def test_a_run_folder_holds_what_it_says():
    run = Run.create(tiny())
    assert run.folder == Path("runs/001")
    assert set(contents(run.folder)) == {
        "config.toml",
        "tokenizer.json",
        "tokens.npy",
        "checkpoints/step-00000000.safetensors",
    }
    assert run.task.tokenizer.decode(run.task.tokens.tolist()) == TEXT
    assert saved_config(run.folder) == dataclasses.replace(
        tiny(), data=(Path("text.txt").resolve(),), out=run.folder.resolve(), backend="numpy"
    )


def test_runs_are_numbered_on():
    Path("runs/007").mkdir(parents=True)
    Path("runs/old").mkdir()
    assert [Run.create(tiny()).folder.name for _ in range(2)] == ["008", "009"]


def test_two_runs_that_begin_together_get_two_folders(monkeypatch):
    mkdir = Path.mkdir

    def be_late(path, *args, **kwargs):
        if path.name == "001":
            mkdir(path)
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", be_late)
    assert Run.create(tiny()).folder.name == "002"


def test_a_folder_that_exists_is_left_alone_before_any_work(monkeypatch):
    Path("mine").mkdir()
    Path("mine/diary.txt").write_text("secret")
    monkeypatch.setattr(windows, "read_text", lambda _: pytest.fail("worked in vain"))
    before = contents()
    with pytest.raises(InputError, match="mine exists already. Choose another --out, or go on"):
        Run.create(tiny(out=Path("mine")))
    assert contents() == before


@pytest.mark.parametrize("out", [None, Path("runs"), Path("runs/001")])
def test_a_file_where_a_folder_should_be_is_an_error(out):
    Path("runs").write_text("a file")
    with pytest.raises(InputError, match=r"cannot make the run folder: .*runs|runs exists already"):
        Run.create(tiny(out=out))
    assert Path("runs").read_text() == "a file"


@pytest.mark.parametrize(
    "failing", ["tokens.npy", "tokenizer.json", "config.toml", "step-00000000"]
)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_fails_leaves_no_run_folder(monkeypatch, failing, error):
    if sys.platform == "win32" and failing == "step-00000000":
        pytest.skip("Windows deletes no file that is mapped")
    replace = os.replace

    def fail(source, target):
        if failing in str(target):
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises((InputError, KeyboardInterrupt)):
        Run.create(tiny(out=Path("new")))
    assert set(contents()) == {"text.txt"}
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (1, "the text has 1 token"),
        (8, "too few for a context of 8"),
        (84, "one part has 8, expected 9 or more. Give a longer text or a smaller context"),
    ],
)
def test_a_text_shorter_than_the_context_is_an_error(length, message):
    Path("text.txt").write_text(TEXT[:length])
    with pytest.raises(InputError, match=message):
        Run.create(tiny(validation_fraction=0.1))
    assert set(contents()) == {"text.txt"}


def test_the_shortest_text_that_fits_can_be_trained_on():
    Path("text.txt").write_text(TEXT[:86])
    finish(Run.create(tiny()))


def test_an_unknown_backend_is_an_error(monkeypatch):
    with pytest.raises(InputError, match="'abacus' does not exist; choose one of .*numpy"):
        Run.create(tiny(backend="abacus"))
    monkeypatch.setenv("MINITRANSFORMER_BACKEND", "slide rule")
    with pytest.raises(InputError, match="'slide rule' does not exist"):
        Run.create(tiny())


@pytest.mark.parametrize("taken", [0, 3])
def test_the_settings_reach_the_training(monkeypatch, taken):
    config = tiny(seed=5, clip=0.7, warmup=0.5, learning_rate=0.1, beta2=0.9, weight_decay=0.3)
    run = Run.create(config)
    if taken:
        finish(run, stop=taken)
        run = Run.resume(run.folder, run.config)
    calls = []
    monkeypatch.setattr(
        run_module, "train", lambda *args, **options: calls.append((args, options)) or ()
    )
    list(run.steps())
    [((model, optimizer, batches, schedule, steps), options)] = calls
    assert (model, optimizer, steps) == (run.model, run.optimizer, 7)
    assert options.pop("ranks") is run.ranks
    assert options == {"start": taken, "clip": 0.7, "accumulate": 1, "seed": 5}
    assert (optimizer.betas, optimizer.weight_decay) == ((0.9, 0.9), 0.3)
    run.step = 6  # must not matter
    for i in (0, 4):
        expected = sample_batch(run.task.train_tokens, 2, 8, seed=5, step=i)
        np.testing.assert_array_equal(batches(i).inputs, expected.inputs)
        np.testing.assert_array_equal(batches(i).targets, expected.targets)
        assert schedule(i) == warmup_cosine(i, 0.1, 3.5, 7, 3e-4)


def test_each_schedule_climbs_to_its_peak_and_goes_on_in_its_own_way():
    def rates(schedule):
        settings = {"learning_rate": 0.1, "final_learning_rate": 0.01, "warmup": 0.5, "steps": 8}
        run = Run.create(tiny(schedule=schedule, **settings))
        return [run.learning_rate(step) for step in (0, 2, 4, 8)]

    assert rates("cosine") == pytest.approx([0, 0.05, 0.1, 0.01])
    assert rates("inverse-sqrt") == pytest.approx([0, 0.05, 0.1, 0.1 / math.sqrt(2)])
    assert rates("constant") == pytest.approx([0, 0.05, 0.1, 0.1])


# ---- going on ----


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
@pytest.mark.parametrize("stops", [(3,), (1, 2, 5), (6,)], ids=str)
def test_a_resumed_run_ends_bit_for_bit_like_one_that_never_stopped(tokenizer, stops):
    config = tiny(tokenizer=tokenizer, out=Path("run"))
    finish(Run.create(config))
    whole = outcome(Path("run"))
    shutil.rmtree("run")
    finish(Run.create(config), stop=stops[0])
    for stop in (*stops[1:], None):
        finish(Run.resume(Path("run"), saved_config(Path("run"))), stop)
    assert outcome(Path("run")) == whole
    assert whole[0] == "step-00000007.safetensors"
    assert [record["index"] for record in whole[2]] == [1, 2, 3, 3, 4, 5, 6, 6, 7, 7]


def test_the_bits_depend_on_the_seed():
    finals = set()
    for seed in (1, 2):
        run = Run.create(tiny(seed=seed))
        finish(run)
        finals.add(outcome(run.folder)[1])
    assert len(finals) == 2


def test_a_moved_run_goes_on():
    finish(Run.create(tiny(out=Path("here"))), stop=2)
    Path("there").mkdir()
    os.rename("here", "there/run")
    os.remove("text.txt")
    run = Run.resume(Path("there/run"), saved_config(Path("there/run")))
    finish(run)
    assert saved_config(run.folder).out == Path("there/run").resolve()


def test_a_longer_run_goes_on_where_it_ended():
    run = Run.create(tiny(out=Path("run")))
    finish(run)
    longer = Run.resume(run.folder, dataclasses.replace(run.config, steps=9))
    assert [step.index for step in longer.steps()] == [8, 9]


def test_a_finished_run_can_be_finished_again():
    finish(Run.create(tiny(out=Path("run"))))
    before = contents("run")
    finish(Run.resume(Path("run"), saved_config(Path("run"))))
    assert contents("run") == before


def test_records_after_the_checkpoint_are_made_again():
    run = Run.create(tiny(out=Path("run")))
    for step in run.steps():
        if step.index == 3:
            run.save()
        if step.index == 5:
            break
    resumed = Run.resume(run.folder, run.config)
    assert [record["index"] for record in resumed.metrics()] == [1, 2, 3]


def test_unfinished_files_are_swept_up():
    run = Run.create(tiny(out=Path("run")))
    for name in ("config.toml.tmp", "checkpoints/step-00000007.safetensors.tmp"):
        (run.folder / name).write_bytes(b"half")
    Run.resume(run.folder, run.config)
    assert not [name for name in contents() if name.endswith(".tmp")]


def test_the_two_newest_checkpoints_are_kept():
    run = Run.create(tiny())
    finish(run)
    assert [path.name for path in checkpoint_files(run.folder)] == [
        "step-00000006.safetensors",
        "step-00000007.safetensors",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 32}, "width is 32, but this run began with 16, which cannot change"),
        ({"data": (Path("other.txt"),)}, "data is .*other.txt, but this run began with .*text.txt"),
        ({"data": ()}, "data is the default text, but this run began with .*text.txt"),
        ({"steps": 2}, "steps is 2, but this run has taken 3 already"),
        ({"backend": "abacus"}, "'abacus' does not exist"),
    ],
)
def test_what_cannot_go_on_changes_nothing(change, message):
    finish(Run.create(tiny(out=Path("run"))), stop=3)
    before = contents()
    config = dataclasses.replace(saved_config(Path("run")), **change)
    with pytest.raises(InputError, match=message):
        Run.resume(Path("run"), config)
    assert contents() == before


def test_the_same_text_may_be_named_in_another_way():
    finish(Run.create(tiny(out=Path("run"))), stop=3)
    config = dataclasses.replace(saved_config(Path("run")), data=(Path("./text.txt"),))
    Run.resume(Path("run"), config)


# ---- crashes ----


class Snapshots:
    """The states in which a folder can be found if the process is killed, at any line of ours.

    What the process wrote reaches the folder only by system calls, so that after each line the
    folder is what SIGKILL would leave behind; torn writes are added.
    """

    def __init__(self, folder, *modules):
        self.folder, self.states = folder, []
        self.files = {module.__file__ for module in modules}

    def __enter__(self):
        self.tracer_before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.tracer_before)

    def _trace(self, frame, event, _):
        if frame.f_code.co_filename not in self.files:
            return None
        sys.settrace(None)
        self._look()
        sys.settrace(self._trace)
        return self._trace

    def _look(self):
        state, before = contents(self.folder), self.states[-1] if self.states else {}
        if state == before:
            return
        for name, content in state.items():
            kept = len(before.get(name, b""))
            if len(content) > kept and name.endswith((".tmp", ".jsonl")):
                self.states.append({**state, name: content[: (kept + len(content)) // 2]})
        self.states.append(state)


def restore(folder, state):
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in state.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def steps_recorded(state):
    return state.get("metrics.jsonl", b"").count(b'"loss"')


def test_a_crash_at_any_moment_costs_at_most_one_interval():
    folder = Path("run")
    config = tiny(out=folder, steps=5, evaluate_every=2)
    with Snapshots(folder, run_module, starting, files, checkpoints, records) as crash:
        finish(Run.create(config))
    whole = outcome(folder)
    begun = [
        state for state in crash.states if any(name.endswith(".safetensors") for name in state)
    ]
    assert len(begun) > 25
    assert any(name.endswith(".safetensors.tmp") for state in begun for name in state)
    assert any(sum(".safetensors" in name for name in state) == 3 for state in begun)
    for state in begun:
        restore(folder, state)
        run = Run.resume(folder, saved_config(folder))
        assert not [name for name in contents() if name.endswith(".tmp")]
        assert run.step >= steps_recorded(state) - config.evaluate_every
        finish(run)
        assert outcome(folder) == whole
        assert len(checkpoint_files(folder)) == 2
        del run  # Windows deletes no file that is mapped


def test_a_crash_before_the_first_checkpoint_is_told():
    folder = Path("run")
    with Snapshots(folder, run_module, starting, files, checkpoints, records) as crash:
        Run.create(tiny(out=folder))
    unborn = [
        state for state in crash.states if not any(name.endswith(".safetensors") for name in state)
    ]
    assert len(unborn) > 5
    for state in unborn:
        restore(folder, state)
        folder.mkdir(exist_ok=True)
        with pytest.raises(InputError, match="run has no checkpoint"):
            Run.resume(folder, tiny())
        assert contents(folder) == state


# ---- breaking down ----


def test_a_broken_model_is_not_saved():
    run = Run.create(tiny(learning_rate=1e38, warmup=0.0))
    next(run.steps())
    with pytest.raises(
        NonFiniteError, match=r"step 1: the validation loss is nan; .*parameter hit"
    ):
        run.validate()
    assert [load_checkpoint(path).step for path in checkpoint_files(run.folder)] == [0]
    assert "validation_loss" not in (run.folder / "metrics.jsonl").read_text()


def test_a_full_disk_for_the_records_is_told(monkeypatch):
    run = Run.create(tiny())
    open_ = Path.open

    def full(path, mode="r", **options):
        if path.name == "metrics.jsonl" and mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        return open_(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match=r"cannot write .*metrics\.jsonl: No space left on device"):
        finish(run)


def test_a_system_that_refuses_records_is_told():
    run = Run.create(tiny())
    with (
        files_of_at_most(200),  # one record and a half
        pytest.raises(InputError, match=r"cannot write .*metrics\.jsonl: File too large"),
    ):
        finish(run)
    assert [record["index"] for record in run.metrics()] == [1]


# ---- damage ----


def damage_nothing_else(change, message, action=None):
    """Damage a run; going on must tell so and leave it as it is."""
    finish(Run.create(tiny(out=Path("run"))), stop=3)
    change(Path("run"))
    before = contents()
    with pytest.raises(InputError, match=message):
        (action or (lambda folder: Run.resume(folder, saved_config(folder))))(Path("run"))
    assert contents() == before


def other_width(folder):
    run = Run.create(tiny(width=32, out=Path("wide")))
    shutil.copy(newest_checkpoint(run.folder), newest_checkpoint(folder))


def rewrite(name, change):
    def damage(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def cut(content):
    return content[: len(content) // 2]


DAMAGES = {
    "checkpoint cut off": (
        lambda folder: rewrite(newest_checkpoint(folder).relative_to(folder), cut)(folder),
        r"step-00000003\.safetensors is truncated .*delete it to continue from the one before",
    ),
    "checkpoint of another model": (other_width, "mixed up: .*another model.*width=32.*width=16"),
    "no checkpoints": (lambda f: shutil.rmtree(f / "checkpoints"), "run has no checkpoint"),
    "tokenizer cut off": (rewrite("tokenizer.json", cut), r"tokenizer\.json is not JSON"),
    "tokenizer gone": (lambda f: os.remove(f / "tokenizer.json"), "cannot read the tokenizer"),
    "tokenizer of another text": (
        lambda f: CharTokenizer("abc").save(f / "tokenizer.json"),
        r"mixed up: tokens\.npy has the id \d+, tokenizer\.json only 3 ids",
    ),
    "larger tokenizer": (
        lambda f: CharTokenizer.train(TEXT + "ABC").save(f / "tokenizer.json"),
        "mixed up: its newest checkpoint is of another model",
    ),
    "tokens cut off": (rewrite("tokens.npy", cut), r"tokens\.npy is cut off"),
    "tokens empty": (rewrite("tokens.npy", lambda _: b""), r"tokens\.npy is cut off"),
    "tokens gone": (lambda f: os.remove(f / "tokens.npy"), "cannot read the token file"),
    "tokens out of range": (
        lambda f: np.save(f / "tokens.npy", np.full(500, 999, np.uint16)),
        "mixed up: tokens.npy has the id 999",
    ),
    "config not TOML": (rewrite("config.toml", lambda _: b"= ="), r"config\.toml is not TOML"),
    "config empty": (rewrite("config.toml", lambda _: b""), "mixed up"),
    "config gone": (lambda f: os.remove(f / "config.toml"), r"cannot read .*config\.toml"),
    "a record damaged": (
        rewrite("metrics.jsonl", lambda lines: b"{\n" + lines),
        r"metrics\.jsonl is damaged in line 1; mend or delete that line",
    ),
    "a record not text": (rewrite("metrics.jsonl", lambda x: b"\xff\n" + x), "damaged in line 1"),
    "a record without index": (rewrite("metrics.jsonl", lambda x: b"{}\n" + x), "in line 1"),
    "a record of another kind": (rewrite("metrics.jsonl", lambda x: b"5\n" + x), "in line 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_and_not_made_worse(damage):
    damage_nothing_else(*DAMAGES[damage])


def test_the_checkpoint_before_helps_out():
    finish(Run.create(tiny(out=Path("run"))))
    whole = outcome(Path("run"))
    newest_checkpoint(Path("run")).unlink()
    finish(Run.resume(Path("run"), saved_config(Path("run"))))
    assert outcome(Path("run")) == whole


def test_lost_records_do_not_stop_a_run():
    finish(Run.create(tiny(out=Path("run"))), stop=3)
    os.remove("run/metrics.jsonl")
    finish(Run.resume(Path("run"), saved_config(Path("run"))))
    assert [record["index"] for record in json_lines()] == [4, 5, 6, 6, 7, 7]


def json_lines():
    return [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]


# ---- use ----


def test_a_run_can_be_used():
    run = Run.create(tiny())
    finish(run)
    model, tokenizer = load_run(run.folder)
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    assert tokenizer.encode("to be") == run.task.tokenizer.encode("to be")


def test_a_model_with_another_tokenizer_is_not_used():
    damage_nothing_else(
        lambda folder: CharTokenizer("abc").save(folder / "tokenizer.json"),
        r"mixed up: tokenizer\.json has 3 ids, the model of the newest checkpoint",
        load_run,
    )


# ---- early stopping and fine-tuning ----


def test_a_run_that_brings_nothing_more_stops_and_goes_back_to_its_best(monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.1, 1.0])
    monkeypatch.setattr(run_module, "mean_loss", lambda *args: next(losses))
    run = Run.create(tiny(patience=2, steps=9, evaluate_every=1))
    stalled_at = None
    for step in run.steps():
        run.validate()
        run.save()
        if run.has_stalled():
            stalled_at = step.index
            break
    assert stalled_at == 4
    best = load_checkpoint(run.folder / "checkpoints/step-00000002.safetensors")
    run.rewind()
    assert run.step == 2
    assert newest_checkpoint(run.folder).name == "step-00000002.safetensors"
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(array, best.parameters[name])
    resumed = Run.resume(run.folder, run.config)
    assert next(resumed.steps()).index == 3


def test_a_run_can_start_from_another():
    first = Run.create(tiny(out=Path("first")))
    finish(first)
    second = Run.create(tiny(out=Path("second"), start_from=Path("first"), seed=9))
    for name, array in first.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], array)
    with pytest.raises(InputError, match=r"cannot start from .*first: .*same .*width"):
        Run.create(tiny(start_from=Path("first"), width=32))


def test_what_is_frozen_stays_and_the_rest_learns():
    run = Run.create(tiny(freeze=("token_embedding", "blocks.*.attention")))
    before = run.model.state_dict()
    finish(run)
    for name, array in run.model.state_dict().items():
        frozen = name.startswith("token_embedding") or ".attention." in name
        assert np.array_equal(array, before[name]) == frozen
    assert run.optimizer.size < run.model.parameter_count()


def test_low_rank_changes_are_learned_saved_and_merged():
    first = Run.create(tiny(out=Path("first")))
    finish(first)
    run = Run.create(tiny(out=Path("tuned"), start_from=Path("first"), lora_rank=2))
    assert run.optimizer.size < run.model.parameter_count() / 10
    finish(Run.resume(run.folder, run.config), stop=3)
    resumed = Run.resume(run.folder, saved_config(run.folder))
    finish(resumed)
    model, _ = load_run(run.folder)
    assert model.state_dict().keys() == first.model.state_dict().keys()
    weight = "blocks.0.attention.query_key_value.weight"
    change = model.state_dict()[weight] - first.model.state_dict()[weight]
    assert np.linalg.matrix_rank(change, tol=1e-5) == 2


def test_nothing_to_train_is_an_error():
    with pytest.raises(InputError, match="no parameter is left to be trained"):
        Run.create(tiny(freeze=("*",)))
