"""One row for each recording: the columns of the table of calls, and how a row is made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batch_ser.calls.conversation import TIMES, TIMES_OF_PARTY, Conversation, Value
from batch_ser.calls.emotion import NOT_CALCULATED, EmotionScale, PartySegments, emotion_columns
from batch_ser.calls.parties import Channels
from batch_ser.calls.regions import Region, intersection, length_s, union
from batch_ser.errors import UsageError
from batch_ser.results import NamePattern

OWN = ("file", "status", "note")
SCORED, COVERAGE = "scored_{r}_s", "coverage_{r}"
EMOTIONS = (
    "emotion_overall_score",
    *(f"emotion_q{number}_score" for number in range(1, 5)),
    "emotion_end_score",
    "emotion_trend",
    "emotion_trend_class",
    "negative_time_s",
    "longest_negative_s",
    "anger_peak",
    "anger_peak_start_s",
    "anger_peak_end_s",
    "anger_peak_segment",
    "recovery",
    "uncertainty",
)
WHOLE = (
    "non_talk_count",
    "turn_count",
    "interruptions_{r}_count",
    "backchannels_{r}_count",
    "anger_peak_segment_{r}",
)
SECONDS = "negative_time_s", "longest_negative_s"  # whose party stands before the unit
Row = dict[str, Value]


@dataclass(frozen=True)
class CallTable:
    """The table of calls of one output."""

    scale: EmotionScale
    parties: tuple[str, ...]  # of all recordings, in the order of their columns
    carried: tuple[str, ...] = ()  # columns of a manifest or of the names of files
    channels: Channels = field(default_factory=Channels)
    score: str | None = None  # the one role that was scored
    name_pattern: NamePattern | None = None  # some carried columns, also without segments

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns with their types, without metadata.

        Raises:
            UsageError: two would have one name.
        """
        names = [*OWN, *self.carried_as.values(), *self._computed]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UsageError(
                f"two columns of the calls would be named {twice[0]}; expected roles with other "
                f"names than {', '.join(self.parties)}"
            )
        types = dict.fromkeys(self._computed, pa.float64())
        types |= dict.fromkeys(self._of_parties(WHOLE), pa.int32())
        types |= dict.fromkeys(self._of_parties(("emotion_trend_class_{r}",)), pa.string())
        return pa.schema([(name, types.get(name, pa.string())) for name in names])

    @cached_property
    def carried_as(self) -> dict[str, str]:
        """The names of the carried columns here: one with the name of another is `in_<name>`."""
        taken, found = {*OWN, *self._computed, *self.carried}, {}
        for column in self.carried:
            name = column
            while name in taken and (name != column or name in {*OWN, *self._computed}):
                name = f"in_{name}"
            taken.add(name)
            found[column] = name
        return found

    @cached_property
    def _computed(self) -> list[str]:
        emotions = [*EMOTIONS, *(f"p_{label}" for label in self.scale.labels)]
        found = list(TIMES)
        for party in self.parties:
            found += [name.format(r=party) for name in (*TIMES_OF_PARTY, SCORED, COVERAGE)]
            found += [_of_party(name, party) for name in emotions]
        return found

    def _of_parties(self, names: Sequence[str]) -> list[str]:
        return [name.format(r=party) for party in self.parties for name in names]

    def row(
        self, file: Mapping[str, Any], segments: pa.Table | None, speech: pa.Table | None
    ) -> Row:
        """The row of a recording, of its rows in the files, segments and speech tables.

        What is not known is null.
        """
        row: Row = dict.fromkeys(self.schema.names)
        row |= {name: file[name] for name in OWN}
        row |= self._carried(file["file"], segments)
        parties = self.channels.parties(file, segments, speech)
        regions = None
        if file["speech_s"] is not None:
            regions = regions_by_party(speech, parties)
            row |= Conversation.of(regions).columns()
        for party in dict.fromkeys(parties.values()):
            if self.score in (None, party):
                spoken = None if regions is None else union(regions[party])
                row |= self._emotions(party, parties, segments, spoken)
        return row

    def _carried(self, file: str, segments: pa.Table | None) -> Row:
        """What all segments of the recording have in common in the carried columns."""
        if segments is None:
            pattern = self.name_pattern
            values = (pattern and pattern.values(file)) or ()
            columns = pattern.columns if pattern and values else ()
            return {
                self.carried_as[column]: value
                for column, value in zip(columns, values, strict=True)
                if column in self.carried_as
            }
        found: Row = {}
        for column, name in self.carried_as.items():
            different = pc.unique(segments[column]).to_pylist()
            found[name] = different[0] if len(different) == 1 else None
        return found

    def _emotions(
        self,
        party: str,
        parties: Mapping[int, str],
        segments: pa.Table | None,
        spoken: Sequence[Region] | None,
    ) -> Row:
        """The columns of a party that was scored; without segments, that nothing was."""
        row: Row = {SCORED.format(r=party): 0.0}
        covered: list[Region] = []
        mine = rows_of(party, parties, segments)
        if mine is not None:
            found = PartySegments.of(mine, self.scale.labels)
            covered = found.regions
            row[SCORED.format(r=party)] = length_s(covered)
            end_s = spoken[-1][1] if spoken else covered[-1][1] if covered else 0.0
            columns = emotion_columns(found, self.scale, end_s)
        else:
            columns = {"emotion_trend_class": NOT_CALCULATED}
        if spoken:
            both = length_s(intersection(spoken, covered))
            row[COVERAGE.format(r=party)] = min(1.0, both / length_s(spoken))
        return row | {_of_party(name, party): value for name, value in columns.items()}


def _of_party(name: str, party: str) -> str:
    """The name of a party's column: its unit stands last in seconds, but for those of a peak."""
    return f"{name.removesuffix('_s')}_{party}_s" if name in SECONDS else f"{name}_{party}"


def regions_by_party(
    speech: pa.Table | None, parties: Mapping[int, str]
) -> dict[str, list[Region]]:
    """The regions of each party, without crosstalk."""
    found: dict[str, list[Region]] = {party: [] for party in parties.values()}
    if speech is None:
        return found
    columns = (speech[name].to_pylist() for name in ("channel", "start_s", "end_s", "crosstalk"))
    for channel, start, end, crosstalk in zip(*columns, strict=True):
        if not crosstalk:
            found[parties[channel]].append((start, end))
    return found


def rows_of(party: str, parties: Mapping[int, str], segments: pa.Table | None) -> pa.Table | None:
    """The rows of a party in the segments table, of those of a recording; None: it has none."""
    if segments is None:
        return None
    channels = pa.array([each for each in parties if parties[each] == party], pa.int8())
    mine = segments.filter(pc.is_in(segments["channel"], channels))
    return mine if len(mine) else None
