"""The benchmarks' own machinery: statistics, the judge, processes in turns, the page of results."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import kernels, op_tasks, tables
from benchmarks.contest import Outcome, Schedule, contest
from benchmarks.contestant import Entry, build, timed
from benchmarks.evidence import disagreements, relative_error
from benchmarks.machine import Watch, describe
from benchmarks.problem import VALIDATION_STEPS, Problem, Size
from benchmarks.race import ROOT, ContestantError, Worker, race
from benchmarks.results import CELLS, FOLDER, Result
from benchmarks.summary import (
    fitted_exponent,
    geometric_mean,
    least_of_rounds,
    median_of_rounds,
    ratio_of_rounds,
)
from minitransformer import GPTConfig
from minitransformer.testing import SPECS

FAKE = """
import numpy as np


class Fake:
    def __init__(self, answer, seconds=1.0):
        print("libraries talk")
        self.answer, self.seconds = answer, seconds

    def validate(self):
        return {"loss": np.array(self.answer)}

    def run(self, steps):
        return [self.seconds] * steps


def broken():
    raise ValueError("no such luck")


class Deadly(Fake):
    def run(self, steps):
        import os
        os._exit(1)
"""
TINY = Size(GPTConfig(11, context=8, layers=2, heads=2, width=8), batch=2, length=7)


def test_medians_of_steps_and_ratios_of_rounds() -> None:
    ours, theirs = [[1.0, 1.0, 9.0], [2.0], [4.0]], [[2.0], [6.0], [8.0]]
    assert median_of_rounds(ours) == 2.0
    assert least_of_rounds(theirs) == 2.0
    assert ratio_of_rounds(theirs, ours) == (2.0, 2.0, 2.5)  # of 2, 3 and 2
    assert ratio_of_rounds([[3.0]], [[2.0]]) == (1.5, 1.5, 1.5)


def test_ratios_need_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="longer"):
        ratio_of_rounds([[1.0]], [[1.0], [1.0]])


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)


def test_the_exponent_of_a_power_law_is_found() -> None:
    sizes = [64, 128, 256, 512]
    assert fitted_exponent(sizes, [3e-9 * size**2.5 for size in sizes]) == pytest.approx(2.5)


def test_every_call_is_timed() -> None:
    calls: list[int] = []
    assert len(timed(lambda: calls.append(1), 3)) == len(calls) == 3


REFERENCE = {"loss": np.array(2.0), "grad": np.array([3.0, 4.0]), "tokens": np.array([1, 2])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": np.array(2.1)}, "loss is off by 5.0e-02"),
        ({"grad": np.array([3.0, -4.0])}, "grad is off by 1.6e"),
        ({"grad": np.array([3.0, np.nan])}, "grad is off by nan"),
        ({"grad": np.zeros(3)}, r"grad has shape \(3,\), expected \(2,\)"),
        ({"tokens": np.array([1, 3])}, "tokens is off by inf"),
    ],
)
def test_wrong_results_are_found(change: dict[str, np.ndarray], message: str) -> None:
    assert disagreements(REFERENCE, REFERENCE, 1e-6) == []
    (found,) = disagreements({**REFERENCE, **change}, REFERENCE, 1e-2)
    assert re.search(message, found)


def test_missing_results_are_found() -> None:
    assert disagreements({}, {"loss": np.array(1.0)}, 1.0) == ["loss is missing"]


def test_the_error_counts_relative_to_what_is_expected() -> None:
    assert relative_error(np.array([101.0]), np.array([100.0])) == pytest.approx(0.01)
    assert relative_error(np.array([0.5]), np.array([0.0])) == 0.5


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which a worker finds the fakes."""
    (tmp_path / "fakes.py").write_text(FAKE, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}


def fake(environment: dict[str, str], name: str, **settings: float) -> Entry:
    return Entry(name, "fakes:Fake", settings, environment=environment)


def test_contestants_in_their_own_processes(environment: dict[str, str]) -> None:
    with Worker.start(fake(environment, "one", answer=3.0, seconds=0.5), threads=1) as worker:
        assert worker.validate() == {"loss": 3.0}
        assert worker.run(2) == [0.5, 0.5]
        watch = Watch()
        assert race([worker], rounds=3, seconds=1.2, watch=watch) == {"one": [[0.5] * 3] * 3}
        worker.build(fake(environment, "another", answer=4.0))
        assert worker.validate() == {"loss": 4.0}


@pytest.mark.parametrize(
    ("factory", "message"),
    [("fakes:broken", "peer: ValueError: no such luck"), ("nowhere:Fake", "ModuleNotFoundError")],
)
def test_a_contestant_that_cannot_be_built(
    environment: dict[str, str], factory: str, message: str
) -> None:
    with pytest.raises(ContestantError, match=message):
        Worker.start(Entry("peer", factory, environment=environment), threads=1)


def test_a_contestant_that_dies(environment: dict[str, str]) -> None:
    entry = Entry("peer", "fakes:Deadly", {"answer": 1.0}, environment=environment)
    with (
        Worker.start(entry, threads=1) as worker,
        pytest.raises(ContestantError, match="peer: its process ended"),
    ):
        worker.run(1)


def test_a_wrong_contestant_is_not_timed(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    entries = [
        fake(environment, "ours", answer=1.0, seconds=0.2),
        fake(environment, "slow", answer=1.0 + 1e-6, seconds=0.6),
        fake(environment, "wrong", answer=1.1, seconds=0.1),
        Entry("absent", "fakes:Fake", {"answer": 1.0}, ("no_such_package",)),
    ]
    reference = fake(environment, "truth", answer=1.0)
    schedule = Schedule(threads=1, rounds=2, seconds=0.1)
    outcome = contest(entries, {"": reference}, 1e-3, schedule)
    assert list(outcome.times) == ["ours", "slow"]
    assert "loss is off by 1.0e-01" in outcome.refused["wrong"]
    assert "no_such_package" in outcome.missing["absent"]
    assert [row.name for row in outcome.rows("ours")] == ["ours", "slow"]
    assert outcome.rows("ours")[1].ratio == pytest.approx((3.0, 3.0, 3.0))
    assert outcome.report(Result("test", "Test", "python", CELLS), "ours", save=False) == 1
    assert "not timed: wrong" in capsys.readouterr().out


def test_only_who_is_wrong_makes_a_contest_fail() -> None:
    outcome = Outcome({"ours": [[1.0]]}, {}, {"absent": "absent: not installed"}, [])
    assert outcome.report(Result("test", "Test", "python", CELLS), "ours", save=False) == 0


def test_results_become_a_page(tmp_path: Path) -> None:
    rows = [["ours", "1.00", "0.90", "1.00"]]
    result = Result("fast", "Speed", "python -m it", CELLS, rows, ["a note"], ["a warning"])
    result.save(tmp_path / "results")
    (tmp_path / "results" / "other.json").write_text("{}", encoding="utf-8")
    tables.main(tmp_path / "results", tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "## Speed" in page
    assert "| ours | 1.00 | 0.90 | 1.00 |" in page
    assert "a note" in page
    assert "**Warning:** a warning" in page
    assert f"numpy {np.__version__}" in page


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page(tables.saved(FOLDER))


def test_the_machine_is_described_without_paths() -> None:
    machine = describe()
    assert machine["numpy"] == np.__version__
    assert not any(str(Path.home()) in value for value in machine.values())


def test_others_at_work_are_noticed() -> None:
    watch = Watch()
    watch.wall, watch.others = 10.0, 0.1
    assert not [warning for warning in watch.warnings() if "held" in warning]
    watch.others = 9.0
    assert [warning for warning in watch.warnings() if "psutil" in warning or "0.90" in warning]


def test_our_contestant_takes_the_steps_of_train() -> None:
    settings = {"model": vars(TINY.model), "batch": TINY.batch, "length": TINY.length}
    factory = "benchmarks.contestants.ours:Training"
    evidence = build(factory, {"size": settings, "backend": "numpy"}).validate()
    expected = build(factory, {"size": settings, "backend": "numpy", "dtype": "float64"}).validate()
    assert disagreements(evidence, expected, 2e-4) == []
    assert len(evidence["loss curve"]) == VALIDATION_STEPS
    assert evidence["loss curve"][0] == pytest.approx(float(evidence["loss"]), rel=1e-6)


def test_another_recipe_gives_another_loss_curve() -> None:
    settings = {"model": vars(TINY.model), "batch": TINY.batch, "length": TINY.length}
    factory = "benchmarks.contestants.ours:Training"
    right = build(factory, {"size": settings, "backend": "numpy"}).validate()
    wrong = build(factory, {"size": settings, "backend": "numpy", "clip": 0.1}).validate()
    (found,) = disagreements(wrong, right, 1e-7)
    assert found.startswith("loss curve is off")


def test_all_begin_with_random_biases_and_the_same_batches() -> None:
    one, other = Problem(TINY), Problem(TINY)
    assert all(array.any() for array in one.parameters().values())
    np.testing.assert_array_equal(one.batch(3).inputs, other.batch(3).inputs)


def test_multiply_adds_are_those_of_the_matrix_products() -> None:
    size = Size(GPTConfig(10, context=3, layers=1, heads=1, width=2), batch=1, length=3)
    weights, causal_scores = 12 * 2**2 + 10 * 2, 1 + 2 + 3
    assert size.weights == weights
    assert size.multiply_adds == 3 * (3 * weights + 2 * 2 * causal_scores)


@pytest.mark.parametrize("name", SPECS)
def test_every_op_has_a_task(name: str) -> None:
    task = op_tasks.task(name)
    assert task.spec is SPECS[name]
    _, cache = task.spec.forward.impls["numpy"](**task.arguments)
    task.spec.backward(task.dy, cache)


def test_the_time_of_a_step_is_that_of_its_kernels_and_the_rest() -> None:
    product, norm = (lambda s: kernels.Call("product", s)), kernels.Call("norm", 0.001)
    steps = [
        kernels.Step([product(0.002), norm, product(0.002)], 0.006),
        kernels.Step([product(0.005), norm, product(0.004)], 0.012),
    ]
    assert steps[0].seconds_of() == pytest.approx(
        {"product": 0.004, "norm": 0.001, kernels.BETWEEN: 0.001}
    )
    assert kernels.lines(steps) == [
        ("product", "2", "6.50", "4.00"),
        ("norm", "1", "1.00", "1.00"),
        (kernels.BETWEEN, "", "1.50", "1.00"),
        ("a step", "", "9.00", "6.00"),
    ]
