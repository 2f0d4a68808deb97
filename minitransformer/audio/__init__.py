"""From a sound file to what a speech model hears: samples, resampling, mel spectrograms."""

from minitransformer.audio.mel import SAMPLE_RATE, log_mel, mel_filters
from minitransformer.audio.resampling import resample
from minitransformer.audio.wav import Sound, read_wav

__all__ = ["SAMPLE_RATE", "Sound", "log_mel", "mel_filters", "read_wav", "resample"]
