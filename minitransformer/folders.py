"""Where a run may live."""

from contextlib import suppress
from pathlib import Path

from minitransformer.errors import InputError


def check_free(out: Path | None) -> None:
    """Refuse a run folder that exists.

    Raises
    ------
    InputError
        Says how to go on.
    """
    if out is not None and out.exists():
        raise InputError(
            f"{out} exists already. Choose another --out, or go on with: "
            f"minitransformer train --resume {out}"
        )


def make_folder(out: Path | None) -> Path:
    """Make the folder asked for, or the next free number in ``runs/``.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    try:
        if out is None:
            return _make_numbered_folder(Path("runs"))
        out.mkdir(parents=True)
        return out
    except OSError as error:
        raise InputError(f"cannot make the run folder: {error}") from error


def _make_numbered_folder(parent: Path) -> Path:
    parent.mkdir(exist_ok=True)
    taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
    number = max(taken, default=0)
    while True:
        number += 1
        with suppress(FileExistsError):  # another run took it just now
            folder = parent / f"{number:03d}"
            folder.mkdir()
            return folder
