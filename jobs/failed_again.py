"""Which files `batch-ser retry` does again: those that failed, all or those of some reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_ser.inputs import InputFile
from batch_ser.results import CommittedFile


@dataclass
class FailedAgain:
    """Chooses among the inputs, and remembers what it chose."""

    reasons: frozenset[str]  # of the failures; empty: all
    max_hours: float  # a file that was too long is chosen if its limit was lower
    kept_options: Mapping[str, Any] = field(default_factory=dict)  # stay in `run.json` as they are
    chosen: set[str] = field(default_factory=set)
    too_long: set[str] = field(default_factory=set)  # would fail again: left out

    def chooses(self, file: InputFile, previous: CommittedFile | None) -> bool:
        """Whether an input is done again, given its row in the output, if it has one."""
        if previous is None or not previous.failed or not self.names(previous.reason):
            return False
        same = previous.version == file.version
        if same and previous.exceeded_h is not None and self.max_hours <= previous.exceeded_h:
            self.too_long.add(file.file)
            return False
        self.chosen.add(file.file)
        return True

    def names(self, reason: str) -> bool:
        """Whether files that failed for a reason are to be done again."""
        return not self.reasons or reason in self.reasons
