"""Labels of people, read from the files of several programs, and matched with segments."""

from batch_ser.labels.formats import read_labels
from batch_ser.labels.matching import Segment, match, placed
from batch_ser.labels.names import RecordingNames
from batch_ser.labels.reading import (
    NO_ANSWER,
    Label,
    Problem,
    answer,
    content_of,
    seconds,
    text_fault,
    whole,
)
from batch_ser.labels.sampled import Sample, sample_beside

__all__ = [
    "NO_ANSWER",
    "Label",
    "Problem",
    "RecordingNames",
    "Sample",
    "Segment",
    "answer",
    "content_of",
    "match",
    "placed",
    "read_labels",
    "sample_beside",
    "seconds",
    "text_fault",
    "whole",
]
