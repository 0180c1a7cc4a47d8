"""The segmenters by name. To add one: its module, its name in `segmenter.METHODS`, a line here."""

from collections.abc import Callable

from batch_ser.segments.given import Given, Whole
from batch_ser.segments.segmenter import Segmenter, SegmentSettings, Source
from batch_ser.segments.speech import Speech
from batch_ser.segments.window import Window

SEGMENTERS: dict[str, Callable[[Source, SegmentSettings], Segmenter]] = {
    "speech": Speech,
    "window": Window,
    "given": Given,
    "whole": Whole,
}
