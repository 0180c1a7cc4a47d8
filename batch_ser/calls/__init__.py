"""Calls: what the tables show of a recording's conversation and emotions; groups of calls."""

from batch_ser.calls.call import CallTable, regions_by_party, rows_of
from batch_ser.calls.conversation import Conversation
from batch_ser.calls.emotion import ANGRY, EmotionScale, PartySegments
from batch_ser.calls.groups import CallGroups
from batch_ser.calls.parties import Channels, in_order, party_of
from batch_ser.calls.spreadsheet import FORMULA, SpreadsheetWriter, plain_cell, safe_cell

__all__ = [
    "ANGRY",
    "FORMULA",
    "CallGroups",
    "CallTable",
    "Channels",
    "Conversation",
    "EmotionScale",
    "PartySegments",
    "SpreadsheetWriter",
    "in_order",
    "party_of",
    "plain_cell",
    "regions_by_party",
    "rows_of",
    "safe_cell",
]
