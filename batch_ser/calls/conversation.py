"""Who talks when in a call, from the unpadded regions of speech of its parties.

Terms are those of Amazon Contact Lens, Google CX Insights and Genesys, times in seconds. With one
party alone, what parties do to each other is not known: null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from statistics import median
from typing import NamedTuple

from batch_ser.calls.regions import Region, holding, intersection, length_s, union

Value = float | int | str | None
NON_TALK_S = 3.0  # a longer time without speech is non-talk time
FLOOR_S = 0.5  # speech of more than that takes the floor; a longer overlap is an interruption
TIMES = (
    "total_conversation_duration_s",
    "talk_time_total_s",
    "silence_percentage",
    "non_talk_time_total_s",
    "non_talk_count",
    "longest_non_talk_s",
    "overlap_s",
    "overtalk_percentage",
    "turn_count",
)
TIMES_OF_PARTY = (
    "talk_time_{r}_s",
    "{r}_speaking_percentage",
    "interruptions_{r}_count",
    "interruptions_time_{r}_s",
    "backchannels_{r}_count",
    "longest_turn_{r}_s",
    "response_time_median_{r}_s",
)


class Turn(NamedTuple):
    """One party's speech until another's of more than 0.5 s begins."""

    party: str
    start_s: float
    end_s: float
    silence_s: float | None  # since the end of the turn before; negative where both speak


@dataclass(frozen=True)
class Conversation:
    """The regions of speech of each party, as unions, in the order of the parties' columns."""

    speech: Mapping[str, Sequence[Region]]

    @classmethod
    def of(cls, regions: Mapping[str, Sequence[Region]]) -> "Conversation":
        """Of regions in any order."""
        return cls({party: union(each) for party, each in regions.items()})

    @cached_property
    def talk(self) -> list[Region]:
        """When anybody speaks."""
        return union(region for regions in self.speech.values() for region in regions)

    @property
    def duration_s(self) -> float:
        """From the start of the recording to the last word."""
        return self.talk[-1][1] if self.talk else 0.0

    @cached_property
    def turns(self) -> list[Turn]:
        """The turns in order; a turn also ends where the next one begins."""
        regions = [(*region, party) for party, each in self.speech.items() for region in each]
        found: list[Turn] = []
        for start, end, party in sorted(regions):
            last = found[-1] if found else None
            if last and last.party == party:
                found[-1] = last._replace(end_s=max(last.end_s, end))
            elif last is None or end - start > FLOOR_S:
                found.append(Turn(party, start, end, last and start - last.end_s))
                if last:
                    found[-2] = last._replace(end_s=min(last.end_s, start))
        return found

    @property
    def non_talk(self) -> list[Region]:
        """Times of more than 3 s without speech, up to the last word."""
        edges = [(0.0, 0.0), *self.talk]
        gaps = [(before[1], after[0]) for before, after in pairwise(edges)]
        return [(start, end) for start, end in gaps if end - start > NON_TALK_S]

    def interruptions(self, party: str) -> list[Region]:
        """When the party starts to speak while others do, as long as both speak: over 0.5 s."""
        return [(start, end) for start, end in self._begun(party) if end - start > FLOOR_S]

    def columns(self) -> dict[str, Value]:
        """The columns of the call and of its parties; those of `TIMES` and `TIMES_OF_PARTY`."""
        total, talk_s, overlap_s = self.duration_s, length_s(self.talk), self._overlap_s()
        gaps = [end - start for start, end in self.non_talk]
        found: dict[str, Value] = {
            "total_conversation_duration_s": total,
            "talk_time_total_s": talk_s,
            "silence_percentage": _percentage(total - talk_s, total),
            "non_talk_time_total_s": sum(gaps, 0.0),
            "non_talk_count": len(gaps),
            "longest_non_talk_s": max(gaps, default=0.0),
            "overlap_s": overlap_s,
            "overtalk_percentage": _percentage(overlap_s, total),
            "turn_count": len(self.turns) if self._is_dialogue else None,
        }
        for party in self.speech:
            found |= self._columns_of(party, total)
        return found

    @property
    def _is_dialogue(self) -> bool:
        return len(self.speech) > 1

    def _overlap_s(self) -> float | None:
        if not self._is_dialogue:
            return None
        pairs = combinations(self.speech.values(), 2)
        return length_s(union(both for one, other in pairs for both in intersection(one, other)))

    def _columns_of(self, party: str, total: float) -> dict[str, Value]:
        talk_s = length_s(self.speech[party])
        values: list[Value] = [talk_s, _percentage(talk_s, total)]
        if self._is_dialogue:
            begun, interruptions = self._begun(party), self.interruptions(party)
            mine = [each for each in self.turns if each.party == party]
            answers = [x for each in mine if (x := each.silence_s) is not None and x >= 0]
            values += [len(interruptions), length_s(interruptions)]
            values.append(len(begun) - len(interruptions))
            values.append(max((each.end_s - each.start_s for each in mine), default=None))
            values.append(median(answers) if answers else None)
        else:
            values += [None] * (len(TIMES_OF_PARTY) - len(values))
        names = (name.format(r=party) for name in TIMES_OF_PARTY)
        return dict(zip(names, values, strict=True))

    def _begun(self, party: str) -> list[Region]:
        """Of each region that the party begins while others speak, until it or they pause.

        Others who begin later, while the party still speaks, are not interrupted: they interrupt.
        """
        others = union(
            region for other, each in self.speech.items() if other != party for region in each
        )
        return [
            (start, min(end, theirs[1]))
            for start, end in self.speech[party]
            if (theirs := holding(others, start))
        ]


def _percentage(part: float | None, total: float) -> float | None:
    """Of the conversation, from 0 to 100; null where nobody speaks."""
    return None if part is None or total == 0 else min(100.0, max(0.0, 100 * part / total))
