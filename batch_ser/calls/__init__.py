"""Calls: what the tables show of a recording's conversation and emotions; groups of calls."""

from batch_ser.calls.call import CallTable
from batch_ser.calls.emotion import EmotionScale
from batch_ser.calls.groups import CallGroups
from batch_ser.calls.parties import Channels, in_order, party_of
from batch_ser.calls.spreadsheet import SpreadsheetWriter

__all__ = [
    "CallGroups",
    "CallTable",
    "Channels",
    "EmotionScale",
    "SpreadsheetWriter",
    "in_order",
    "party_of",
]
