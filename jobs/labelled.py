"""Labels of people by segment and annotator, and what is of no use, with the reasons."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from batch_ser.labels import Label, Problem, Segment
from jobs.agreement import Agreement

CONFLICTING, CONTRADICTING, REPEATED = "conflicting", "contradicting", "repeated"
Listed = tuple[Path, Problem]
Key = tuple[str, Segment]


@dataclass(frozen=True)
class Given:
    """A label of one annotator for a segment."""

    path: Path
    label: Label
    name: str  # of the label, as labels.csv has it
    weight: float | None


@dataclass
class Labelled:
    """All labels by segment and annotator, and what is of no use."""

    given: dict[Key, dict[str, Given]] = field(default_factory=dict)
    problems: list[Listed] = field(default_factory=list)
    _contradicted: set[tuple[Key, str]] = field(default_factory=set)

    def add(self, key: Key, new: Given) -> None:
        """Add a label; of an annotator who contradicts himself about a segment, none counts."""
        who = new.label.annotator
        mine = self.given.setdefault(key, {})
        if (key, who) in self._contradicted:
            self.list(new, CONTRADICTING, "the same annotator gave other labels, too")
        elif who not in mine:
            mine[who] = new
        elif mine[who].name == new.name:
            message = f"the same as {mine[who].label.place} of {mine[who].path.name}"
            self.list(new, REPEATED, message)
        else:
            self._contradicted.add((key, who))
            for one, other in ((before := mine.pop(who), new), (new, before)):
                message = f"{other.label.place} of {other.path.name} is {other.name}"
                self.list(one, CONTRADICTING, message)

    def list(self, given: Given, reason: str, message: str) -> None:
        """Note a problem with a label."""
        problem = Problem(given.label.place, reason, message, given.label)
        self.problems.append((given.path, problem))

    def list_conflicts(self) -> None:
        """Note segments about which annotators disagree; their labels stay."""
        for mine in self.given.values():
            if len({each.name for each in mine.values()}) > 1:
                message = ", ".join(f"{who}: {each.name}" for who, each in sorted(mine.items()))
                for each in mine.values():
                    self.list(each, CONFLICTING, message)

    def agreements(self) -> dict[tuple[str, str], Agreement]:
        """Of each two annotators who labelled the same segments."""
        found: dict[tuple[str, str], Agreement] = defaultdict(Agreement)
        for mine in self.given.values():
            for one, other in combinations(sorted(mine), 2):
                found[one, other].add(mine[one].name, mine[other].name, 0.0)
        return dict(found)
