"""Build the notebooks, with outputs, from the percent scripts in ``notebooks/src``.

``python -m notebooks.build`` builds all of them, ``python -m notebooks.build 01 06`` some.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCES = sorted((FOLDER / "src").glob("*.py"))


def read(source: Path) -> Any:
    """Cut a percent script into the cells of a notebook without outputs."""
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def execute(notebook: Any) -> Any:
    """Run all cells, of which each has ten minutes; an error in one ends the run."""
    import nbclient

    nbclient.NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
        coalesce_streams=True,
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of day
    return notebook


def target(source: Path) -> Path:
    """Where the notebook of a script is."""
    return FOLDER / f"{source.stem}.ipynb"


def build(sources: Iterable[Path]) -> None:
    """Execute and write notebooks."""
    import nbformat

    for source in sources:
        text = nbformat.writes(execute(read(source)))
        target(source).write_text(text + "\n", encoding="utf-8", newline="\n")
        print(target(source).name, flush=True)


def main(names: list[str]) -> None:
    """Build the notebooks whose names begin with one of these, all if there are none."""
    try:
        build(s for s in SOURCES if not names or s.name.startswith(tuple(names)))
    except ImportError as error:
        sys.exit(f'{error.name} is missing: pip install "minitransformer[notebooks]"')


if __name__ == "__main__":
    main(sys.argv[1:])
