"""The segmenters by name. To add one: its file, its name in `segment.METHODS`, a line here."""

from collections.abc import Callable

from batch_ser.segment import Segmenter, SegmentSettings
from batch_ser.speech import Speech
from batch_ser.window import Whole, Window

SEGMENTERS: dict[str, Callable[[int, SegmentSettings], Segmenter]] = {
    "speech": Speech,
    "window": Window,
    "whole": Whole,
}
