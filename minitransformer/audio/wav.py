"""Reading WAV files."""

import wave
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from minitransformer.errors import InputError

SLOWEST, FASTEST = 2_000, 800_000  # samples a second; of what lies outside, no sound was made
BEGINNINGS = {
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"\xff\xf3": "MP3",
    b"\xff\xf2": "MP3",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"\x1aE\xdf\xa3": "WebM",
}


class Sound(NamedTuple):
    """What a microphone heard.

    Attributes
    ----------
    samples : (N,) float32, from -1 to 1
        The mean of all channels.
    rate : int
        Samples in a second.
    """

    samples: np.ndarray
    rate: int


def read_wav(path: str | Path) -> Sound:
    """Read a WAV file of whole numbers with 8, 16, 24 or 32 bits.

    Raises
    ------
    InputError
        If there is no such file, it has no sound, or is of another format: says how to convert it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            kind = _kind(file.read(12))
            file.seek(0)
            if kind:
                raise _unreadable(path, f"is a file of the format {kind}")
            return _read(path, file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (wave.Error, EOFError, RuntimeError) as error:
        why = str(error) or "it is cut off"
        raise _unreadable(path, f"is not a WAV file of whole numbers ({why})") from error


def _kind(begin: bytes) -> str | None:
    if begin[4:8] == b"ftyp":
        return "MP4"
    return next((kind for magic, kind in BEGINNINGS.items() if begin.startswith(magic)), None)


def _unreadable(path: Path, what: str) -> InputError:
    wav = path.with_suffix(".converted.wav").name
    return InputError(
        f'{path} {what}; convert it: ffmpeg -i "{path.name}" -ar 16000 -ac 1 -c:a pcm_s16le "{wav}"'
    )


def _read(path: Path, file: BinaryIO) -> Sound:
    size = path.stat().st_size
    with wave.open(file) as reader:
        channels, width, rate = reader.getnchannels(), reader.getsampwidth(), reader.getframerate()
        # the file may say more than it holds
        content = reader.readframes(min(reader.getnframes(), size // (channels * width)))
    if width > 4 or not SLOWEST <= rate <= FASTEST:
        raise _unreadable(path, f"has {8 * width} bits and {rate} samples a second")
    frames = len(content) // (channels * width)
    if frames == 0:
        raise InputError(f"{path} has no sound in it")
    samples = _to_floats(content[: frames * channels * width], width).reshape(frames, channels)
    return Sound(samples.mean(axis=1), rate)


def _to_floats(content: bytes, width: int) -> np.ndarray:
    """Numbers from -1 to 1; one byte is unsigned, several are signed, the lowest first."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128
    whole = np.zeros((len(content) // width, 4), np.uint8)
    whole[:, 4 - width :] = np.frombuffer(content, np.uint8).reshape(-1, width)
    return whole.view("<i4").ravel().astype(np.float32) / 2**31
