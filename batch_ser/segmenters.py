"""The segmenters by name. To add one: its file, its name in `segment.METHODS`, a line here."""

from collections.abc import Callable

from batch_ser.given import Given, Whole
from batch_ser.segment import Segmenter, SegmentSettings, Source
from batch_ser.speech import Speech
from batch_ser.window import Window

SEGMENTERS: dict[str, Callable[[Source, SegmentSettings], Segmenter]] = {
    "speech": Speech,
    "window": Window,
    "given": Given,
    "whole": Whole,
}
