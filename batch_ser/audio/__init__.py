"""A recording of any format to blocks of samples, its channels, and their resampling."""

from batch_ser.audio.channels import (
    MIX,
    MIXED,
    SPLIT,
    channel,
    choose_channels,
    normal_choice,
    parse_channels,
    same_signal,
)
from batch_ser.audio.excerpts import Excerpt, Excerpts
from batch_ser.audio.raw import RAW_ENDINGS, RawSettings
from batch_ser.audio.recording import Reading, Recording, load
from batch_ser.audio.resample import Resampler
from batch_ser.audio.samples import Samples

__all__ = [
    "MIX",
    "MIXED",
    "RAW_ENDINGS",
    "SPLIT",
    "Excerpt",
    "Excerpts",
    "RawSettings",
    "Reading",
    "Recording",
    "Resampler",
    "Samples",
    "channel",
    "choose_channels",
    "load",
    "normal_choice",
    "parse_channels",
    "same_signal",
]
