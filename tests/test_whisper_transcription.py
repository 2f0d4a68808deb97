"""Transcripts without real weights: where sound is cut, what may be written, and bad input."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.audio import SAMPLE_RATE
from minitransformer.cli import main
from minitransformer.errors import InputError
from minitransformer.generation import stream
from minitransformer.models import GPT, GPTConfig, Whisper, WhisperConfig
from minitransformer.pretrained import save_pretrained, transcribe, transcription
from minitransformer.pretrained.transcription import WINDOW, windows
from minitransformer.tokenizers import CharTokenizer, from_document, gpt2_document
from tests.test_audio import write_wav

pytestmark = pytest.mark.systems

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>"]
SPECIAL += ["<|nocaptions|>", "<|notimestamps|>"]
LETTERS = [*"abcdefg", "Ġ"]
VOCAB = {token: i for i, token in enumerate([*LETTERS, *SPECIAL])}
TOKENIZER = from_document(gpt2_document(VOCAB, [], SPECIAL))
END, START, EN, DE, SPEECH, SILENCE, PLAIN = (VOCAB[name] for name in SPECIAL)
CONFIG = WhisperConfig(
    vocab_size=len(VOCAB) + 4,  # timestamps
    start_id=START,
    end_id=END,
    layers=1,
    decoder_layers=1,
    heads=1,
    width=8,
    hidden=4,
    suppressed=(VOCAB["b"],),
    suppressed_first=(VOCAB["Ġ"],),
)


def whisper(wanted=(), **changes):
    """One that would like best to write these tokens, whatever it hears."""
    model = Whisper(dataclasses.replace(CONFIG, **changes))
    model.decoder.norm.gamma.data[...] = 0
    model.decoder.norm.beta.data[0] = 1
    model.token_embedding.weight.data[:, 0] = 0
    for rank, token in enumerate(wanted):
        model.token_embedding.weight.data[token, 0] = 20 - rank
    return model


def heard(model, seconds=1, tokenizer=TOKENIZER, **options):
    samples = np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE))
    return "".join(transcribe(model, tokenizer, samples.astype(np.float32), **options))


@settings(max_examples=20)
@given(seconds=st.floats(0, 100), pause=st.floats(20.5, 29.5))
def test_windows_are_cut_in_pauses_and_nothing_is_lost(seconds, pause):
    samples = np.ones(int(seconds * SAMPLE_RATE), np.int8)
    place = int(pause * SAMPLE_RATE)
    samples[place - 3_000 : place + 3_000] = 0
    parts = list(windows(samples))
    assert all(0 < len(part) <= WINDOW for part in parts)
    assert sum(map(len, parts)) == len(samples)
    if len(samples) > WINDOW:
        assert abs(len(parts[0]) - place) < 3_000


def test_what_is_no_text_is_never_written(monkeypatch):
    letters = "cda"
    wanted = [CONFIG.vocab_size - 1, PLAIN, DE, VOCAB["b"], *(VOCAB[letter] for letter in letters)]
    model = whisper(wanted, target_context=8)
    assert heard(model) == "cccc"  # half the context

    seen = []

    def watched(decoder, prompt, **options):
        seen.append(prompt)
        return stream(decoder, prompt, **options)

    monkeypatch.setattr(transcription, "stream", watched)
    heard(model, seconds=31)
    assert seen == [[START, PLAIN]] * 2


def test_a_transcript_does_not_begin_with_what_it_may_hold_later():
    model = whisper([VOCAB["Ġ"], VOCAB["c"]], target_context=8)
    assert heard(model) == "c   "
    model = whisper([VOCAB["Ġ"], VOCAB["c"]], target_context=8, suppressed_first=())
    assert heard(model) == ""  # white space in front is left out


def test_the_end_token_ends_it():
    assert heard(whisper([END])) == ""


def test_windows_without_speech_are_left_out():
    assert heard(whisper([SILENCE, VOCAB["c"]], target_context=8)) == ""
    assert heard(whisper([VOCAB["c"], SILENCE], target_context=8)) == "cccc"


def test_models_of_many_languages_are_told_which(monkeypatch):
    monkeypatch.setattr(transcription, "MULTILINGUAL", CONFIG.vocab_size)
    model = whisper([VOCAB["c"]], target_context=12)
    seen = []
    monkeypatch.setattr(
        transcription, "stream", lambda _, prompt, **options: seen.append(prompt) or []
    )
    heard(model)
    heard(model, language="de")
    assert seen == [[START, EN, SPEECH, PLAIN], [START, DE, SPEECH, PLAIN]]
    with pytest.raises(InputError, match=r"the tokenizer has no token <\|xx\|>"):
        heard(model, language="xx")


def test_what_cannot_be_asked_for():
    with pytest.raises(InputError, match="language is 'de', but this model knows English alone"):
        heard(whisper(), language="de")
    with pytest.raises(InputError, match=r"the tokenizer has no token <\|notimestamps\|>"):
        heard(whisper(), tokenizer=CharTokenizer("abc"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pretrained(whisper([VOCAB["c"]], target_context=8), tmp_path / "whisper")
    TOKENIZER.save(tmp_path / "whisper" / "tokenizer.json")
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, (4_000, 2)), 8_000)
    return tmp_path


def command(capsys, *arguments):
    status = main(["transcribe", *arguments])
    out, err = capsys.readouterr()
    return status, out, " ".join(err.replace("│", " ").split())


def test_the_command_writes_and_says_how_fast(folder, capsys):
    status, out, err = command(capsys, "a.wav", "--model", "whisper", "--backend", "numpy")
    assert (status, out) == (0, "cccc\n")
    assert re.fullmatch(r"0\.5 s of sound in \d+\.\d s: \d+\.\d s of sound per second", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILE"),
        (["nowhere.wav"], "cannot read nowhere.wav"),
        (["whisper/config.json"], "is not a WAV file.*convert it: ffmpeg"),
        (["a.wav", "--model", "./nowhere"], "nowhere does not exist; expected a folder"),
        (["a.wav", "--model", "gpt2"], "gpt2 is a GPT, expected a Whisper"),
        (["a.wav", "--model", "silent"], "silent has no tokenizer"),
        (["a.wav", "--model", "whisper", "--language", "de"], "knows English alone"),
        (["a.wav", "--model", "whisper", "--backend", "abacus"], "backend 'abacus'"),
    ],
)
def test_bad_input_is_named(folder, capsys, arguments, message):
    save_pretrained(GPT(GPTConfig(len(VOCAB), 4, 1, 1, 4)), folder / "gpt2")
    TOKENIZER.save(folder / "gpt2" / "tokenizer.json")
    save_pretrained(whisper(), folder / "silent")
    status, out, err = command(capsys, *arguments)
    assert (status, out) == (2, "")
    assert re.search(message, err), err
