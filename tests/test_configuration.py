import dataclasses
import math
from pathlib import Path

import pytest

from minitransformer.configuration import FIXED, TrainConfig, check_fixed, load_config
from minitransformer.errors import InputError
from minitransformer.models import GPTConfig
from minitransformer.models.registry import ARCHITECTURES

EVERYTHING = TrainConfig(
    task="dates",
    task_options={"locales": ["en", "zh"]},
    architecture=next(name for name in ARCHITECTURES if name != "gpt"),
    model_options={"hidden": 3},
    start_from=Path("runs/1"),
    freeze=("*.weight", "norm"),
    lora_rank=2,
    lora_alpha=0.5,
    lora_targets=("blocks.0",),
    accumulate=2,
    shard_optimizer=True,
    schedule="constant",
    patience=3,
    data=(Path("a b/ü.txt"), Path('C:\\new\\"quoted"')),
    out=Path("runs/#1"),
    seed=2**60,
    backend="numpy",
    device="emulated",
    tokenizer="bpe",
    bpe_tokens=300,
    context=9,
    layers=3,
    heads=5,
    width=15,
    dropout=0.1,
    steps=7,
    batch=2,
    learning_rate=1 / 3,
    final_learning_rate=1e-30,
    warmup=0.0,
    weight_decay=0.01,
    beta2=0.999,
    clip=math.inf,
    validation_fraction=0.2,
    evaluate_every=3,
    evaluate_batches=4,
)


def write(folder, text):
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("config", [TrainConfig(), EVERYTHING], ids=["default", "everything"])
def test_what_was_saved_is_loaded(tmp_path, config):
    config.save(tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_everything_differs_from_the_default():  # so that the test above proves something
    default = dataclasses.asdict(TrainConfig())
    assert not [
        name for name, value in dataclasses.asdict(EVERYTHING).items() if value == default[name]
    ]


def test_what_a_file_does_not_set_keeps_its_default(tmp_path):
    path = write(tmp_path, 'dropout = 0  # an integer is a number, too\ndata = ["a.txt"]\n')
    assert load_config(path) == TrainConfig(dropout=0.0, data=(Path("a.txt"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = = 3", "is not TOML: .*line 1"),
        ("stepz = 3", "sets stepz, which is no setting; did you mean steps"),
        ("resume = 'runs/001'", "sets resume, which is no setting$"),
        ("[model]\nlayers = 2", "sets model, which is no setting"),
        ("steps = 'many'", "steps is 'many', expected an integer"),
        ("steps = 1.5", "steps is 1.5, expected an integer"),
        ("steps = true", "steps is True, expected an integer"),
        ("steps = [1]", r"steps is \[1\], expected an integer"),
        ("dropout = '0.1'", "dropout is '0.1', expected a number"),
        ("dropout = true", "dropout is True, expected a number"),
        ("data = 'a.txt'", "data is 'a.txt', expected a list of strings"),
        ("data = [1]", r"data is \[1\], expected a list of strings"),
        ("out = 1", "out is 1, expected a string"),
        ("backend = 1", "backend is 1, expected a string"),
        ("tokenizer = 'word'", "tokenizer is 'word', expected 'char' or 'bpe'"),
        ("tokenizer = 1", "tokenizer is 1, expected 'char' or 'bpe'"),
        ("seed = 2020-01-01", "seed is .*, expected an integer"),
        ("steps = 0", "steps is 0, expected 1 or more"),
    ],
)
def test_a_bad_file_is_named_and_its_fault(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "my.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"my\.toml is not TOML"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nothing\.toml"):
        load_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("evaluate_every", 0),
        ("evaluate_batches", -1),
        ("bpe_tokens", 255),
        ("seed", -1),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("final_learning_rate", -1e-9),
        ("weight_decay", -0.1),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("clip", 0.0),
        ("clip", math.nan),
        ("beta2", 1.0),
        ("beta2", math.nan),
        ("context", 0),
        ("layers", 0),
        ("heads", 0),
        ("width", 0),
        ("dropout", 1.0),
        ("dropout", math.nan),
    ],
)
def test_a_number_out_of_range_is_named(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}, expected"):
        TrainConfig(**{name: value})


def test_heads_must_divide_the_width():
    with pytest.raises(InputError, match="width is 30 and heads 4.*try width 32"):
        TrainConfig(width=30, heads=4)


def test_the_learning_rate_does_not_rise_to_its_end():
    with pytest.raises(InputError, match="final_learning_rate is 0.0003, expected no more than"):
        TrainConfig(learning_rate=1e-4)


def test_the_model_has_the_shape_asked_for():
    config = TrainConfig(context=9, layers=3, heads=5, width=15, dropout=0.1)
    assert config.model(vocab_size=77) == GPTConfig(77, 9, 3, 5, 15, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "gtp"}, "architecture 'gtp' is unknown; did you mean gpt"),
        ({"model_options": {"head": 2}}, "architecture gpt, 'head' is unknown; did you mean heads"),
        ({"model_options": {"heads": 3}}, "heads 3, expected heads to divide width"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**settings).model(vocab_size=5)


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_cannot_change(name):
    saved = TrainConfig(width=60, heads=1)
    config = dataclasses.replace(saved, **{name: getattr(EVERYTHING, name)})
    with pytest.raises(InputError, match=f"^{name} is .* this run began with .*cannot change"):
        check_fixed(saved, config)


FREE = {
    *("out", "backend", "device", "steps", "learning_rate", "final_learning_rate", "warmup"),
    *(
        "weight_decay",
        "beta2",
        "clip",
        "evaluate_every",
        "evaluate_batches",
        "patience",
        "schedule",
        "accumulate",
    ),
    "shard_optimizer",
}


def test_what_is_not_fixed_may_change():
    everything = vars(EVERYTHING)
    check_fixed(TrainConfig(), TrainConfig(**{name: everything[name] for name in FREE}))
    assert {*FREE, *FIXED} == set(everything)
