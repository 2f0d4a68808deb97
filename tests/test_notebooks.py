"""The notebooks: each runs, and what was built is what the source says."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason='pip install "minitransformer[notebooks]"')
nbformat = pytest.importorskip("nbformat", reason='pip install "minitransformer[notebooks]"')

from minitransformer import toolchain  # noqa: E402
from notebooks import build  # noqa: E402


def names(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("source", build.SOURCES, ids=names)
def test_built_cells_are_the_sources(source: Path) -> None:
    built = nbformat.read(build.target(source), as_version=4)
    nbformat.validate(built)
    expected = [(cell.cell_type, cell.source) for cell in build.read(source).cells]
    assert [(cell.cell_type, cell.source) for cell in built.cells] == expected
    assert all(cell.execution_count for cell in built.cells if cell.cell_type == "code")


@pytest.mark.notebooks
@pytest.mark.parametrize("source", build.SOURCES, ids=names)
def test_notebook_runs(source: Path) -> None:
    pytest.importorskip("nbclient", reason='pip install "minitransformer[notebooks]"')
    if "gpu" in source.stem and toolchain.compiler_complaint():
        pytest.skip(f"{toolchain.compiler_complaint()}")
    build.execute(build.read(source))
