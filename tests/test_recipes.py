"""Recipes are found by name or path, and every one of them can be read."""

import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.recipes import FOLDER, load_recipe, recipes
from minitransformer.tasks import TASKS


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_a_task_and_its_options(name):
    recipe = load_recipe(name)
    TASKS[recipe.task].read_options(recipe.task_options)
    assert recipe.architecture in TASKS[recipe.task].architectures
    assert recipe == load_recipe(str(FOLDER / f"{name}.toml"))


def test_a_file_of_ones_own_is_a_recipe(tmp_path):
    (tmp_path / "own").write_text("layers = 2\n", encoding="utf-8")
    assert load_recipe(str(tmp_path / "own")) == TrainConfig(layers=2)


def test_an_unknown_recipe_is_told_the_closest():
    with pytest.raises(InputError, match=r"recipe 'lm-gtp' is unknown; did you mean lm-gpt\?"):
        load_recipe("lm-gtp")
    with pytest.raises(InputError, match=r"cannot read .*none\.toml"):
        load_recipe("none.toml")
