"""The task of many languages: what is read, how often, and how well each is predicted."""

import numpy as np
import pytest

from minitransformer.configuration import TrainConfig
from minitransformer.errors import InputError
from minitransformer.models import GPT
from minitransformer.tasks import LanguagesTask
from minitransformer.tokenizers import load_tokenizer

pytestmark = pytest.mark.systems

TEXTS = {
    "en": "to be or not to be " * 60,
    "fr": "être ou ne pas être " * 9,
    "zh": "生存還是毀滅 " * 8,
}


def config(folder, **settings):
    data = tuple(folder / f"{name}.txt" for name in TEXTS)
    for path in data:
        path.write_text(TEXTS[path.stem], encoding="utf-8")
    shape = {"context": 4, "layers": 1, "heads": 1, "width": 8, "batch": 6}
    return TrainConfig(**{"task": "languages", "data": data, **shape, **settings})


def task(folder, **settings):
    found = config(folder, **settings)
    LanguagesTask.prepare(folder, found)
    return LanguagesTask(folder, found)


def test_one_vocabulary_and_every_language(tmp_path):
    made = task(tmp_path)
    assert list(made.train_tokens) == list(TEXTS)
    assert load_tokenizer(tmp_path / "tokenizer.json").vocab_size == len(
        set("".join(TEXTS.values()))
    )
    assert "zh 50 tokens (19% of what is read)" in made.describe()
    batch = made.batch(0)
    assert batch.inputs.shape == (6, 4)
    assert made.batch(0).inputs.tolist() == batch.inputs.tolist()


def test_the_temperature_is_an_option(tmp_path):
    settings = config(tmp_path, task_options={"temperature": 1.0})
    LanguagesTask.prepare(tmp_path, settings)
    assert "zh 50 tokens (4% of what is read)" in LanguagesTask(tmp_path, settings).describe()
    with pytest.raises(InputError, match="temperature is 0.0, expected more than 0"):
        LanguagesTask.read_options({"temperature": 0})


def test_the_loss_of_each_language(tmp_path):
    made = task(tmp_path)
    model = GPT(made.model_config())
    outcomes = made.outcomes(model)
    assert sorted(set(outcomes.groups)) == list(TEXTS)
    assert len(outcomes) == sum(len(batch.inputs) for batch in made.validation())
    assert sum(1 for _ in made.validation(limit=3)) == 3
    assert all(f"{name}: '" in made.example(model, 6) for name in TEXTS)


def test_other_texts(tmp_path):
    made = task(tmp_path)
    (tmp_path / "other.txt").write_text("not to be or be", encoding="utf-8")
    made.measure_on([tmp_path / "other.txt"])
    assert set(made.outcomes(GPT(made.model_config())).groups) == {"other"}
    assert np.concatenate([b.inputs for b in made.validation()]).size == 12


@pytest.mark.parametrize(
    ("names", "says"),
    [([], "data is missing"), (["en.txt", "more/en.txt"], "expected a file or folder for each")],
)
def test_languages_without_data_or_with_one_name(tmp_path, names, says):
    with pytest.raises(InputError, match=says):
        LanguagesTask.prepare(tmp_path, config(tmp_path, data=tuple(tmp_path / n for n in names)))


def test_a_language_with_too_little_text(tmp_path):
    settings = config(tmp_path)
    (tmp_path / "zh.txt").write_text("生存" * 9, encoding="utf-8")
    with pytest.raises(InputError, match="language zh: the text has 18 tokens"):
        LanguagesTask.prepare(tmp_path, settings)
