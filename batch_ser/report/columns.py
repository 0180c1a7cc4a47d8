"""Calls as the columns of a report's table: rounded, and without what it does not show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MOST_CARRIED = 8  # columns of a manifest beside those of groups and days
MOST_TEXT = 120  # characters of a value in them
OF_CALL = {  # with the decimals that are kept; those of text have none
    "total_conversation_duration_s": 1,
    "talk_time_total_s": 1,
    "silence_percentage": 1,
    "longest_non_talk_s": 1,
    "overtalk_percentage": 1,
    "turn_count": 0,
}
OF_PARTY = {
    "talk_time_{r}_s": 1,
    "{r}_speaking_percentage": 1,
    "interruptions_{r}_count": 0,
    "interruptions_time_{r}_s": 1,
    "longest_turn_{r}_s": 1,
    "response_time_median_{r}_s": 1,
    "scored_{r}_s": 1,
    "coverage_{r}": 2,
    "emotion_overall_score_{r}": 2,
    **{f"emotion_q{number}_score_{{r}}": 2 for number in range(1, 5)},
    "emotion_end_score_{r}": 2,
    "emotion_trend_{r}": 2,
    "emotion_trend_class_{r}": 0,
    "negative_time_{r}_s": 1,
    "longest_negative_{r}_s": 1,
    "anger_peak_{r}": 3,
    "anger_peak_start_s_{r}": 1,
    "anger_peak_end_s_{r}": 1,
}


@dataclass(frozen=True)
class CallColumns:
    """The columns that a report shows of the table of calls."""

    parties: Sequence[str]
    labels: Sequence[str]
    carried: Sequence[str]  # columns of a manifest or of the names of files
    first: Sequence[str] = ()  # of these, shown in any case

    @cached_property
    def shown(self) -> list[str]:
        """The carried columns that are shown."""
        others = [each for each in self.carried if each not in self.first]
        return [*self.first, *others[:MOST_CARRIED]]

    @property
    def left_out(self) -> int:
        """How many carried columns are not shown."""
        return len(self.carried) - len(self.shown)

    @cached_property
    def names(self) -> list[str]:
        """The columns of the table of calls that are read."""
        found = ["file", "status", "note", *self.shown, *OF_CALL]
        for party in self.parties:
            found += [name.format(r=party) for name in OF_PARTY]
            found += [f"p_{label}_{party}" for label in self.labels]
        return found

    def content(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Lists of the values of each column, those of parties by party, without their names."""
        return {
            "file": [row["file"] for row in rows],
            "status": [row["status"] for row in rows],
            "note": [row["note"] for row in rows],
            "carried": [[_short(row[name]) for row in rows] for name in self.shown],
            "call": {name: _rounded((r[name] for r in rows), d) for name, d in OF_CALL.items()},
            "parties": [self._of_party(party, rows) for party in self.parties],
        }

    def _of_party(self, party: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, digits in OF_PARTY.items():
            key = name.replace("_{r}", "").replace("{r}_", "")
            found[key] = _rounded((row[name.format(r=party)] for row in rows), digits)
        found["shares"] = [
            _rounded((row[f"p_{label}_{party}"] for row in rows), 3) for label in self.labels
        ]
        return found


def _rounded(values: Iterable[Any], digits: int) -> list[Any]:
    return [rounded(value, digits) for value in values]


def rounded(value: Any, digits: int) -> Any:
    """A number with at most so many decimals, which takes fewer characters; others as they are."""
    if not isinstance(value, float):
        return value
    found = round(value, digits)
    return int(found) if found == int(found) else found


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
