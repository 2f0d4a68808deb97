"""A folder of exercises: complete, valid, and gentle with what a student wrote."""

import doctest
import runpy
from pathlib import Path

import pytest

from minitransformer.errors import InputError
from minitransformer.exercises.catalogue import CATALOGUE
from minitransformer.exercises.folder import file_names, start
from minitransformer.exercises.grader.answer import read_answer
from minitransformer.exercises.hints import FILE, hint, opened_hints
from minitransformer.exercises.notebook import notebook_text
from minitransformer.exercises.source import solution
from minitransformer.exercises.stubs import stub

SOFTMAX = CATALOGUE["softmax_forward"]


def test_a_folder_has_a_file_for_each_exercise_in_order(tmp_path: Path) -> None:
    started = start(tmp_path / "deep" / "course")
    assert started.kept == []
    names = sorted(path.name for path in started.folder.glob("*.py"))
    assert [name.split("_", 2)[2] for name in names] == [f"{id}.py" for id in CATALOGUE]
    readme = (started.folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} | " in readme for name in names)


def test_a_file_is_a_program_that_knows_how_it_is_called(tmp_path: Path) -> None:
    start(tmp_path)
    path = tmp_path / "01_1_softmax_forward.py"
    assert "check 01_1_softmax_forward.py\n" in path.read_text(encoding="utf-8")
    assert "softmax_forward" in runpy.run_path(str(path))


def test_what_a_student_wrote_stays(tmp_path: Path) -> None:
    start(tmp_path)
    mine, lost = tmp_path / "01_1_softmax_forward.py", tmp_path / "01_2_softmax_backward.py"
    mine.write_text("# my work\n", encoding="utf-8")
    lost.unlink()
    started = start(tmp_path)
    assert started.written == [lost]
    assert mine in started.kept
    assert len(started.kept) == len(CATALOGUE)
    assert mine.read_text(encoding="utf-8") == "# my work\n"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write to .*file"):
        start(tmp_path / "file")


@pytest.mark.parametrize("id", CATALOGUE)
def test_a_notebook_is_valid_and_has_what_nbgrader_asks_for(id: str) -> None:
    nbformat = pytest.importorskip("nbformat", reason="validates notebooks")
    exercise = CATALOGUE[id]
    notebook = nbformat.reads(notebook_text(exercise), as_version=4)
    nbformat.validate(notebook)
    cells = [cell["metadata"]["nbgrader"] for cell in notebook["cells"]]
    assert len({cell["grade_id"] for cell in cells}) == len(cells)
    assert [cell["grade_id"] for cell in cells if cell["solution"]] == [id]
    assert [cell["points"] for cell in cells if cell["grade"]] == [exercise.points]
    assert all(cell["locked"] != cell["solution"] for cell in cells)


def test_a_folder_of_notebooks(tmp_path: Path) -> None:
    start(tmp_path, notebook=True)
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == sorted(file_names(True))
    assert read_answer(tmp_path / "01_1_softmax_forward.ipynb").text == stub(SOFTMAX)


def test_hints_open_one_by_one(tmp_path: Path) -> None:
    start(tmp_path)
    for number in (1, 2, 3, 3):
        assert hint(SOFTMAX, tmp_path) == list(SOFTMAX.hints[:number])
    assert opened_hints(tmp_path) == {"softmax_forward": 3}
    assert len(hint(CATALOGUE["softmax_backward"], tmp_path)) == 1


def test_hints_stay_with_the_exercises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no file for softmax_forward"):
        hint(SOFTMAX, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"softmax_forward": "all"}'])
def test_a_damaged_record_of_hints(tmp_path: Path, text: str) -> None:
    start(tmp_path)
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="delete it, and hints begin anew"):
        hint(SOFTMAX, tmp_path)


def test_a_solution_has_its_helpers() -> None:
    text = solution(CATALOGUE["rotary_backward"])
    assert all(f"def {name}(" in text for name in ("rotary_forward", "rotary_backward", "rotate"))


def test_the_example_of_a_file_runs_as_the_readme_says(tmp_path: Path) -> None:
    start(tmp_path)
    names = runpy.run_path(str(tmp_path / "11_1_causal_mask.py"))
    examples = doctest.DocTestFinder().find(names["causal_mask"], globs=names)
    runner = doctest.DocTestRunner(verbose=False)
    failed, tried = runner.run(examples[0], out=lambda text: None)
    assert failed == tried == 2  # still to be written


@pytest.mark.slow
@pytest.mark.classroom
def test_a_notebook_is_judged_where_it_is_written(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="reads notebooks")
    nbclient = pytest.importorskip("nbclient", reason="runs notebooks")
    pytest.importorskip("ipykernel", reason="runs notebooks")
    notebook = nbformat.reads(notebook_text(CATALOGUE["causal_mask"]), as_version=4)
    (answer,) = (cell for cell in notebook["cells"] if cell["id"] == "causal_mask")
    todo = 'raise NotImplementedError("causal_mask: your turn")'
    assert todo in answer["source"]
    for body, outcome in (("np.tri(T, S, S - T) > 0", "right: 1"), ("np.tri(T, S) > 0", "wrong")):
        answer["source"] = answer["source"].replace(todo, f"return {body}")
        todo = f"return {body}"
        client = nbclient.NotebookClient(
            notebook, allow_errors=True, timeout=600, startup_timeout=600
        )
        (printed,) = client.execute()["cells"][-1]["outputs"]
        assert outcome in printed.get("text", f"wrong: {printed.get('evalue')}")
