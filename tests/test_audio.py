"""Sound files, resampling and mel spectrograms."""

import contextlib
import os
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitransformer.audio import SAMPLE_RATE, log_mel, mel_filters, read_wav, resample
from minitransformer.errors import InputError

EXAMPLES = int(os.environ.get("MINITRANSFORMER_FUZZ", "50"))
"""Damaged files; a thorough run asks for ten thousand."""


def write_wav(path, samples, rate=16_000, width=2):
    """Samples (N, channels) from -1 to 1, rounded to whole numbers of so many bytes."""
    top = 2 ** (8 * width - 1)
    whole = np.clip(np.rint(samples * top), -top, top - 1).astype(np.int64)
    content = ((whole + top) if width == 1 else whole).astype("<i8").tobytes()
    parts = np.frombuffer(content, np.uint8).reshape(-1, 8)[:, :width]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(parts.tobytes())


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_heard(width, channels, tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (50, channels))
    samples[:2] = [[-1], [0]]
    write_wav(tmp_path / "a.wav", samples, 11_025, width)
    sound = read_wav(tmp_path / "a.wav")
    assert (sound.rate, sound.samples.dtype) == (11_025, np.float32)
    step = max(2.0 ** (1 - 8 * width), 1e-7)
    np.testing.assert_allclose(sound.samples, samples.mean(axis=1), rtol=0, atol=step)
    assert (sound.samples[0], sound.samples[1]) == (-1, 0)


def chunks(*parts):
    body = b"WAVE" + b"".join(name + struct.pack("<I", size) + data for name, size, data in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def header(kind=1, channels=1, rate=16_000, width=2):
    numbers = kind, channels, rate, rate * channels * width, channels * width, 8 * width
    return b"fmt ", 16, struct.pack("<HHIIHH", *numbers)


def test_a_file_that_promises_more_than_it_holds(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(chunks(header(), (b"data", 0xFFFFFFFF, bytes(7))))
    assert read_wav(path).samples.shape == (3,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a WAV file"),
        (b"To be, or not to be", "is not a WAV file"),
        (chunks(header()), "is not a WAV file"),
        (chunks(header(kind=3, width=4), (b"data", 8, bytes(8))), "whole numbers .*format"),
        (chunks(header(channels=0), (b"data", 8, bytes(8))), "is not a WAV file"),
        (chunks(header(width=8), (b"data", 8, bytes(8))), "has 64 bits"),
        (chunks(header(rate=1), (b"data", 8, bytes(8))), "1 samples a second"),
        (chunks(header(rate=10**6), (b"data", 8, bytes(8))), "1000000 samples a second"),
        (chunks(header(), (b"data", 0, b"")), "has no sound in it"),
        (b"ID3\x04" + bytes(50), r"format MP3; convert it: ffmpeg -i \"a.wav\" -ar 16000"),
        (b"\xff\xfb\x90" + bytes(50), "format MP3"),
        (b"OggS" + bytes(50), "format Ogg"),
        (b"fLaC" + bytes(50), "format FLAC"),
        (b"\0\0\0 ftypM4A " + bytes(50), "format MP4"),
    ],
)
def test_what_is_no_sound_is_named(content, message, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_wav(path)


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.wav"):
        with pytest.raises(InputError, match="cannot read"):
            read_wav(path)


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_files(data, tmp_path_factory):
    content = chunks(header(), (b"data", 40, bytes(range(40))))
    place = data.draw(st.integers(0, len(content)))
    put = data.draw(st.binary(max_size=6) | st.sampled_from([bytes(4), b"\xff" * 4]))
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    path.write_bytes(content[:place] + put + content[place + data.draw(st.integers(0, 6)) :])
    with contextlib.suppress(InputError):
        assert read_wav(path).samples.size <= 40


def tone(hertz, rate, seconds=0.25):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_stays_the_same_tone(rate):
    samples = resample(tone(440, rate), rate, SAMPLE_RATE)
    expected = tone(440, SAMPLE_RATE)
    assert abs(len(samples) - len(expected)) <= 1
    middle = slice(400, 3_600)
    np.testing.assert_allclose(samples[middle], expected[middle], rtol=0, atol=1e-5)


def test_pitches_that_the_new_rate_does_not_have_are_gone():
    high, low = tone(13_000, 48_000), tone(6_500, 48_000)
    middle = slice(400, 3_600)
    assert np.abs(high[::3][middle]).max() > 0.9  # what merely leaving out samples would make of it
    assert np.abs(resample(high, 48_000, SAMPLE_RATE)[middle]).max() < 1e-3
    assert np.abs(resample(low, 48_000, SAMPLE_RATE)[middle]).max() > 0.9


def test_lengths_and_types():
    for count in (0, 1, 2, 9):
        assert resample(np.ones(count, np.float32), 3, 2).shape == (-(-count * 2 // 3),)
    samples = np.ones(5, np.float32)
    same = resample(samples, 7, 7)
    assert same.dtype == np.float32
    assert not np.shares_memory(same, samples)
    for bad in (samples[None], 0, 7), (samples, 0, 7), (samples, 7, -1):
        with pytest.raises(ValueError, match="resample: samples have shape"):
            resample(*bad)


def test_filters_are_triangles_of_one_area():
    filters = mel_filters()
    assert filters.shape == (201, 80)
    assert (filters >= 0).all()
    assert (filters.sum(axis=1)[1:-1] > 0).all()  # no pitch is lost but the two at the ends
    peaks = filters.argmax(axis=0)
    assert (np.diff(peaks) >= 0).all()
    # as librosa and the reference implementation have them
    assert filters[1, 0] == pytest.approx(0.02486259, abs=1e-8)
    assert filters[100, 62] == pytest.approx(0.00617272, abs=1e-8)
    np.testing.assert_allclose(filters.sum(axis=0)[-30:] * 40, 1, atol=0.05)


def sweep():
    """A tone that rises from 200 to 1,700 Hz for two seconds, and a second of silence."""
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return np.pad(0.5 * np.sin(2 * np.pi * (200 * t + 375 * t**2)), (0, SAMPLE_RATE))


REFERENCE = {
    (0, 0): 1.1699055,
    (0, 8): 1.0340461,
    (50, 13): 1.1458106,
    (50, 16): 1.1792028,
    (120, 28): 1.4142798,
    (150, 34): 1.3152008,
    (199, 40): 1.3748279,
    (200, 60): 0.2811850,
    (250, 3): -0.5478146,
}
"""Of this sweep, as the feature extractor of the transformers library finds it."""


def test_a_spectrogram_is_that_of_the_reference_implementation():
    loudness = log_mel(sweep())
    assert (loudness.shape, loudness.dtype) == ((300, 80), np.float32)
    found = [loudness[place] for place in REFERENCE]
    np.testing.assert_allclose(found, list(REFERENCE.values()), rtol=0, atol=1e-6)


def test_a_frame_by_the_definition():
    samples = np.random.default_rng(0).standard_normal(2_000)
    expected = []
    for i in (0, 5):
        frame = [samples[abs(160 * i - 200 + n)] for n in range(400)]  # mirrored at the beginning
        hann = np.sin(np.pi * np.arange(400) / 400) ** 2
        waves = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(400)) / 400)
        expected.append(np.log10(np.abs(waves @ (frame * hann)) ** 2 @ mel_filters(7)))
    np.testing.assert_allclose(log_mel(samples, 7)[[0, 5]] * 4 - 4, expected, rtol=0, atol=1e-5)


def test_silence_is_eight_powers_of_ten_below_the_loudest():
    loudness = log_mel(sweep())
    assert loudness.max() - loudness.min() == pytest.approx(2.0, abs=1e-6)
    assert (log_mel(np.zeros(3_200)) == -1.5).all()


@pytest.mark.parametrize("samples", [np.ones(200), np.ones((1, 900))])
def test_what_has_no_spectrogram(samples):
    with pytest.raises(ValueError, match=r"log_mel: samples have shape"):
        log_mel(samples)
