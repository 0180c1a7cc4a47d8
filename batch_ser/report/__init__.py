"""The report of an output as one HTML file: what it holds, made of tables and of recordings."""

from batch_ser.report.chosen import ChosenCalls, Sample, worst_party
from batch_ser.report.clips import MOST_CLIP_S, Window, cut, encode
from batch_ser.report.columns import CallColumns, rounded
from batch_ser.report.days import day_of, find_day_column
from batch_ser.report.page import CONTENT_BYTES, is_page, make_page
from batch_ser.report.shares import EmotionShares
from batch_ser.report.time_line import time_line

__all__ = [
    "CONTENT_BYTES",
    "MOST_CLIP_S",
    "CallColumns",
    "ChosenCalls",
    "EmotionShares",
    "Sample",
    "Window",
    "cut",
    "day_of",
    "encode",
    "find_day_column",
    "is_page",
    "make_page",
    "rounded",
    "time_line",
    "worst_party",
]
