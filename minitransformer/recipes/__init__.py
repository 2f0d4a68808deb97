"""Recipes: files of settings that are known to work, to run by name or to copy and change."""

from pathlib import Path

from minitransformer.configuration import TrainConfig, load_config
from minitransformer.models.registry import require_known

FOLDER = Path(__file__).parent


def recipes() -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str) -> TrainConfig:
    """The settings of a recipe.

    Parameters
    ----------
    name
        One of :func:`recipes`, or the path of a TOML file.

    Raises
    ------
    InputError
        If there is no such recipe or file, or a setting in it is wrong.
    """
    if name.endswith(".toml") or Path(name).is_file():
        return load_config(Path(name))
    require_known("recipe", name, recipes())
    return load_config(FOLDER / f"{name}.toml")
