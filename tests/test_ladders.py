"""Kernel ladders: wrong rungs are refused, figures add up, and the picture can be read."""

import dataclasses
import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.text import Text

from benchmarks.ladders import __main__ as command
from benchmarks.ladders import (
    adamw,
    attention,
    layer_norm,
    matmul,
    memory,
    report,
    roofline,
    softmax,
    timing,
)
from benchmarks.ladders.limits import Limits
from benchmarks.ladders.results import Book, Climb, Timed, climb, read_book, write_book
from benchmarks.ladders.rungs import Ladder, Rung, WrongRungError, validate

LADDERS = {name: make() for name, make in command.LADDERS.items()}
RUNGS = [(name, rung.title) for name, ladder in LADDERS.items() for rung in ladder.rungs]
SMALL = {
    "matmul": matmul.ladder(224),
    "softmax": softmax.ladder(37, 192),
    "layer_norm": layer_norm.ladder(37, 51),
    "adamw": adamw.ladder(70_003),
    "attention": attention.ladder(2, 256, 24),
}
UNCOMPILED = [
    (name, title) for name, title in RUNGS if title.startswith(("NumPy", "OpenBLAS", "query"))
]


@pytest.fixture
def no_rest(monkeypatch):
    monkeypatch.setattr(timing, "REST", 0)
    monkeypatch.setattr(timing, "TURN", 0)


def only(name, *titles):
    """A small ladder with some of its rungs."""
    ladder = SMALL[name]
    rungs = [rung for rung in ladder.rungs if rung.title in titles]
    return dataclasses.replace(ladder, rungs=rungs)


def doubling(*functions):
    """A ladder whose task is to double a number."""
    rungs = [Rung(function.__name__, function, 12, 1) for function in functions]
    return Ladder("double", "", lambda: (np.arange(5, dtype=np.float32),), lambda x: 2 * x, rungs)


def right(x):
    return x + x


def slightly_wrong(x):
    return 2.001 * x


def not_a_number(x):
    return x * np.float32(np.nan)


def other_shape(x):
    return 2 * x[:-1]


@pytest.mark.parametrize("name", LADDERS)
def test_the_sizes_on_the_page_do_not_matter_to_the_rungs(name):
    small, large = SMALL[name].rungs, LADDERS[name].rungs
    assert [rung.title for rung in small] == [rung.title for rung in large]


@pytest.mark.parametrize(("name", "title"), UNCOMPILED)
def test_uncompiled_rungs_are_right(name, title):
    ladder = only(name, title)
    validate(ladder, ladder.inputs())


@pytest.mark.kernels
@pytest.mark.parametrize(("name", "title"), [rung for rung in RUNGS if rung not in UNCOMPILED])
def test_compiled_rungs_are_right(name, title):
    ladder = only(name, title)
    validate(ladder, ladder.inputs())


@pytest.mark.parametrize("wrong", [slightly_wrong, not_a_number, other_shape])
def test_a_wrong_rung_is_refused_and_nothing_is_timed(wrong, monkeypatch):
    monkeypatch.setattr("benchmarks.ladders.results.take_turns", pytest.fail)
    with pytest.raises(WrongRungError, match=wrong.__name__):
        climb(doubling(right, wrong), "today", {})


@pytest.mark.parametrize(
    ("name", "title"),
    [("softmax", "NumPy passes"), ("adamw", "NumPy passes"), ("attention", "query blocks")],
)
def test_a_small_error_of_one_number_is_found(name, title):
    def spoiled(*inputs):
        result = rung.function(*inputs)
        last = result[-1] if isinstance(result, tuple) else result
        last.flat[-1] += 0.01 * np.abs(last).mean()
        return result

    ladder = only(name, title)
    (rung,) = ladder.rungs
    ladder = dataclasses.replace(ladder, rungs=[dataclasses.replace(rung, function=spoiled)])
    with pytest.raises(WrongRungError):
        validate(ladder, ladder.inputs())


def test_a_rung_that_changes_its_inputs_does_not_spoil_them_for_the_next():
    def in_place(x):
        x *= 2
        return x

    ladder = doubling(in_place, right, in_place)
    validate(ladder, ladder.inputs())


def test_the_command_refuses_a_wrong_rung(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "LADDERS", {"double": lambda: doubling(right, slightly_wrong)})
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "measure_limits", dict)
    assert command.main(["double"]) == 1
    assert "not timed" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "results").exists()


def test_an_unknown_ladder_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["matmull"])
    assert "matmull" in capsys.readouterr().err


def test_functions_take_turns(no_rest):
    order = []
    calls = [lambda: order.append("a"), lambda: order.append("b")]
    seconds = timing.take_turns(calls, turns=3)
    assert "".join(order) == "ababab"
    assert [len(times) for times in seconds] == [3, 3]


def test_a_turn_is_filled_with_whole_calls(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(timing, "TURN", 5)
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    assert timing.take_turns([lambda: None], turns=1) == [[1, 1, 1]]


@pytest.mark.parametrize("name", LADDERS)
def test_every_rung_has_a_story_and_costs(name):
    ladder = LADDERS[name]
    assert len(ladder.story) > 300
    for rung in ladder.rungs:
        assert len(rung.story) > 100
        assert rung.bytes > 0
        assert rung.flops == ladder.rungs[0].flops


def test_bytes_of_numpy_passes():
    for name, each, numbers in (
        ("softmax", 44, 37 * 192),
        ("layer_norm", 60, 37 * 51),
        ("adamw", 180, 70_003),
    ):
        assert SMALL[name].rungs[0].bytes == each * numbers


LIMITS = {"one core": Limits(90e9, 30e9), "all cores": Limits(170e9, 50e9)}


def a_book(rates=None):
    """Results of all ladders, at made-up rates (operations in a second)."""
    ladders = {}
    for name, ladder in LADDERS.items():
        rungs = []
        for number, rung in enumerate(ladder.rungs):
            rate = (number + 1) * 1e9 if rates is None else rates
            seconds = rung.flops / rate
            rungs.append(Timed(rung.title, rung.bytes, rung.flops, seconds, 2 * seconds))
        ladders[name] = Climb(ladder.title, "2026-01-01", rungs, {})
    return Book({"processor": "abacus"}, dict(LIMITS), ladders)


def test_a_table_adds_up():
    slow, fast = Timed("slow", 8e6, 1e6, 4e-3, 5e-3), Timed("fast", 2e6, 1e6, 1e-3, 2e-3)
    table = list(report.rows(Climb("", "", [slow, fast], {}), Limits(1e12, 4e9)))
    assert table[0] == ("1 slow", "4.00 ms", "5.00 ms", "0.25", "2", "1.0x", "1.00x", "50%")
    assert table[1] == ("2 fast", "1.00 ms", "2.00 ms", "1", "2", "4.0x", "4.00x", "50%")


def test_what_a_rung_reached_is_possible():
    one, other = Timed("", 8e6, 1e6, 4e-3, 5e-3), Timed("", 1e6, 1e6, 1e-3, 2e-3)
    assert Climb("", "", [one, other], {}).reached() == Limits(1e9, 2e9)


def test_a_roof_is_slanted_and_then_flat():
    limits = Limits(100.0, 10.0)
    assert [limits.of(intensity) for intensity in (1, 10, 50)] == [10, 100, 100]
    assert limits.raised_to(Limits(90.0, 11.0)) == Limits(100.0, 11.0)


def test_results_survive_the_file_and_only_on_their_machine(tmp_path):
    file, book = tmp_path / "ladders.json", a_book()
    assert read_book(file, book.machine) == Book(book.machine, {}, {})
    write_book(book, file)
    assert read_book(file, book.machine) == book
    other = {"processor": "slide rule"}
    assert read_book(file, other) == Book(other, {}, {})


def test_results_of_a_ladder_that_has_changed_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(roofline, "draw", lambda *arguments: None)
    book = a_book()
    book.ladders["adamw"].rungs.pop()
    command.publish(book)
    kept = read_book(tmp_path / "results" / "ladders.json", book.machine).ladders
    assert set(kept) == set(LADDERS) - {"adamw"}
    page = (tmp_path / "LADDERS.md").read_text(encoding="utf-8")
    assert LADDERS["softmax"].rungs[1].story in page
    assert LADDERS["adamw"].title not in page


def test_memory_is_on_the_page():
    book = a_book()
    grown = {"NumPy table": {"512": 3_000_000, "8192": 800_000_000}}
    book.ladders["attention"].memory.update(grown)
    page = report.page(book, LADDERS, "roofline.svg")
    assert "| NumPy table | 3.0 MB | 800.0 MB |" in page


@pytest.mark.systems
@pytest.mark.parametrize("rates", [None, 5e9], ids=["apart", "side by side"])
def test_no_text_of_the_picture_covers_another(rates):
    figure = roofline.picture(a_book(rates))
    figure.canvas.draw()
    (axes,) = figure.axes
    level = [text for text in axes.texts if text.get_rotation() == 0]
    boxes = [Text.get_window_extent(text) for text in level]  # without leaders
    assert len(boxes) == len(RUNGS) + len(LIMITS)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    frame = axes.get_window_extent()
    assert all(frame.contains(*corner) for box in boxes for corner in (box.p0, box.p1))


@pytest.mark.systems
def test_the_picture_speaks_to_those_who_do_not_see_it(tmp_path):
    book = a_book()
    roofline.draw(book, tmp_path / "roofline.svg", tmp_path / "roofline.png")
    root = ElementTree.parse(tmp_path / "roofline.svg").getroot()
    assert root.get("role") == "img"
    words = {child.get("id"): child.text for child in root}
    assert [*words][:2] == root.get("aria-labelledby").split()
    for name, title in RUNGS:
        assert title in words["description"], name
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.kernels
@pytest.mark.slow
def test_memory_of_flash_grows_with_the_length_and_of_the_table_with_its_square():
    grown = memory.table()
    if not grown:
        pytest.skip("this system does not tell a process's peak")
    table, flash = grown["NumPy table"], grown["flash: the library"]
    assert table["8192"] > 8192**2 * 4
    assert table["8192"] / table["2048"] > 10
    assert flash["8192"] < 8192 * 64 * 4 * 10
