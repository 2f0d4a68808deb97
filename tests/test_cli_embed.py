"""Lines of text become vectors, in the order of the lines, whatever the batches are."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minitransformer.cli import main
from minitransformer.models import BertForMaskedLM
from minitransformer.pretrained import embed, from_pretrained, save_pretrained
from tests.public_checkpoints import save_chat_model, save_sentence_model

pytestmark = pytest.mark.systems

LINES = ["the cat", "a", "", "no, the hat", "x y z"]
CONTENT = "\n".join([*LINES, ""]).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_sentence_model(tmp_path_factory.mktemp("sentences"))


@pytest.fixture
def run(folder, tmp_path, capsys):
    """Run the command on a file with this content; returns what it printed."""

    def command(*options, content=CONTENT, where=folder, status=0):
        file = tmp_path / "lines.txt"
        file.write_bytes(content)
        assert main(["embed", "--model", str(where), str(file), *map(str, options)]) == status
        out, err = capsys.readouterr()
        return " ".join(err.split()) if status else out

    return command


@pytest.fixture(scope="module")
def expected(folder):
    return embed(*from_pretrained(folder), LINES)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_an_array_has_a_row_for_each_line(run, expected, tmp_path, batch_size):
    path = tmp_path / "vectors.npy"
    assert run("--output", path, "--batch-size", batch_size) == ""
    vectors = np.load(path)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)


def test_json_is_printed_or_written(run, expected, tmp_path):
    printed = run()
    entries = [json.loads(line) for line in printed.splitlines()]
    assert [entry["text"] for entry in entries] == LINES
    np.testing.assert_allclose([entry["vector"] for entry in entries], expected, atol=1e-6)
    run("--output", tmp_path / "vectors.jsonl")
    assert (tmp_path / "vectors.jsonl").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\u2028b\x0cc\n".encode(), ["a\u2028b\x0cc"]),
    ],
)
def test_lines_are_those_of_an_editor(run, content, lines):
    assert [json.loads(line)["text"] for line in run(content=content).splitlines()] == lines


def test_the_standard_input_is_read(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"the cat\n")))
    assert main(["embed", "--model", str(folder), "-"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "the cat"


def test_long_lines_are_named_or_cut_off(run):
    long = "a b c d e f g h i j k l m n"
    message = run(content=f"a\n{long}\n".encode(), status=2)
    assert "text 2 of 2 makes 16 tokens, but the model reads 12" in message
    content = f"a b c d e f g h i j\n{long}\n".encode()
    whole, cut = run("--truncate", content=content).splitlines()
    assert json.loads(whole)["vector"] == json.loads(cut)["vector"]


def test_a_masked_language_model_has_a_trunk(run, folder, tmp_path):
    model, _ = from_pretrained(folder)
    masked = BertForMaskedLM(model.config, seed=5)
    for name, array in model.state_dict().items():
        dict(masked.trunk.named_parameters())[name].data[...] = array
    save_pretrained(masked, tmp_path / "masked")
    (tmp_path / "masked" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert run(where=tmp_path / "masked") == run()


def test_bad_input_is_named(run, folder, tmp_path, capsys):
    assert "is empty, expected a line" in run(content=b"", status=2)
    assert "is not UTF-8" in run(content=b"\xff\n", status=2)
    assert "batch_size is 0, expected 1 or more" in run("--batch-size", 0, status=2)
    assert "expected a name that ends in .npy or .jsonl" in run("--output", "a.txt", status=2)
    llama = save_chat_model(tmp_path / "llama")
    assert "is a Llama, expected a BERT" in run(where=llama, status=2)
    assert main(["embed", "--model", str(folder), str(tmp_path / "nothing.txt")]) == 2
    assert "cannot read" in capsys.readouterr().err
