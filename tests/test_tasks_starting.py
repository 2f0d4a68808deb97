"""What a run takes over from another, and which models cannot learn a task."""

from pathlib import Path

import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.models.registry import ARCHITECTURES
from minitransformer.runs import Run
from minitransformer.tasks import TASKS

pytestmark = pytest.mark.systems

SHAPE = {"layers": 1, "heads": 2, "width": 8, "context": 8, "batch": 2}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("abc.txt").write_text("abc " * 40, encoding="utf-8")
    Path("bc.txt").write_text("b c " * 40, encoding="utf-8")
    Path("xyz.txt").write_text("xyz " * 40, encoding="utf-8")


def run(out, data="abc.txt", **settings):
    return Run.create(TrainConfig(out=Path(out), data=(Path(data),), **SHAPE | settings))


def test_the_vocabulary_is_taken_over():
    first = run("first")
    second = run("second", "bc.txt", start_from=Path("first"))
    assert second.task.tokenizer.encode("abc ") == first.task.tokenizer.encode("abc ")
    assert run("own", "bc.txt").task.tokenizer.encode("bc ") != first.task.tokenizer.encode("bc ")
    assert second.config.start_from == Path("first").resolve()
    with pytest.raises(InputError, match="'x'"):
        run("third", "xyz.txt", start_from=Path("first"))


def test_a_model_of_another_architecture_is_refused():
    run("first", architecture="llama")
    with pytest.raises(InputError, match="its model is of architecture llama, this one of gpt"):
        run("second", start_from=Path("first"))
    assert not Path("second").exists()


def test_a_vocabulary_without_a_special_token_is_refused():
    run("first")
    with pytest.raises(
        InputError, match="the vocabulary of first has 0 special tokens, expected 1, as <mask>"
    ):
        run("second", task="classify", architecture="gpt", start_from=Path("first"))


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_cannot_learn_the_task_is_refused(task):
    assert set(TASKS[task].architectures) < set(ARCHITECTURES)
    for architecture in set(ARCHITECTURES) - set(TASKS[task].architectures):
        with pytest.raises(InputError, match=f"{architecture} cannot learn the task {task}; expec"):
            run("run", task=task, architecture=architecture)
    assert not Path("run").exists()
