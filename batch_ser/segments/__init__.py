"""Samples of a channel to segments: speech, windows, whole recordings, given ones."""

from batch_ser.segments.segmenter import (
    GIVEN,
    Kind,
    SegmentSettings,
    Source,
    Span,
    as_metadata,
    in_pieces,
)
from batch_ser.segments.segmenters import SEGMENTERS
from batch_ser.segments.speech import MERGE

__all__ = [
    "GIVEN",
    "MERGE",
    "SEGMENTERS",
    "Kind",
    "SegmentSettings",
    "Source",
    "Span",
    "as_metadata",
    "in_pieces",
]
