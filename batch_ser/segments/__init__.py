"""Samples of a channel to segments: speech, windows, whole recordings, given ones."""

from batch_ser.segments.channel_regions import ChannelRegions, Gate, Region
from batch_ser.segments.crosstalk import Envelopes
from batch_ser.segments.segmenter import (
    GIVEN,
    SPEECH,
    Kind,
    SegmentSettings,
    Source,
    Span,
    as_metadata,
    in_pieces,
)
from batch_ser.segments.segmenters import SEGMENTERS
from batch_ser.segments.speech import MERGE, Speech

__all__ = [
    "GIVEN",
    "MERGE",
    "SEGMENTERS",
    "SPEECH",
    "ChannelRegions",
    "Envelopes",
    "Gate",
    "Kind",
    "Region",
    "SegmentSettings",
    "Source",
    "Span",
    "Speech",
    "as_metadata",
    "in_pieces",
]
