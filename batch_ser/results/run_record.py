"""`run.json`: how a complete output was made, and what its tables hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from batch_ser.errors import MismatchError
from batch_ser.results.counts import Counts


@dataclass(frozen=True)
class CheckpointRecord:
    """The checkpoint that scored an output."""

    name: str
    sha256: str
    licence: str
    labels: list[str]


@dataclass(frozen=True)
class Listing:
    """Counts of what was listed: files that are no inputs, and names."""

    ignored: int  # no recordings by their names
    repeated: int  # listed again under the same name
    name_unmatched: int = 0  # inputs, other than the first two: they do not fit `--name-pattern`


@dataclass(frozen=True)
class LastRun:
    """What the last call of a job did."""

    started: str
    wall_s: float
    audio_s: float
    stage_s: dict[str, float]  # summed over workers
    peak_worker_bytes: int


@dataclass(frozen=True)
class Alarm:
    """Why the figures of an output should not be trusted: a word, and a sentence or two."""

    name: str
    message: str


@dataclass(frozen=True)
class RunRecord:
    """The record of a complete output; its fields are the keys of `run.json`."""

    program: str
    finished: str  # ISO 8601, UTC
    configuration: dict[str, Any]  # the options of the run
    fingerprint: dict[str, Any]  # the settings on which the rows depend
    checkpoint: CheckpointRecord
    listing: Listing
    last_run: LastRun
    offset: dict[str, Any] | None = None  # the archive's; None without adaptation
    counts: Counts = field(default_factory=Counts)
    alarms: Sequence[Alarm] = ()  # why its figures should not be trusted
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # size and SHA-256 by name
    parts: str = ""  # the folder of committed parts that are in these tables, and count no more

    def as_json(self) -> dict[str, Any]:
        """As `run.json` has it."""
        content: dict[str, Any] = {
            "complete": True
        }  # first: while tables are replaced, it is False
        content |= {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("checkpoint", "listing", "last_run"):
            content[name] = asdict(content[name])
        found = [asdict(alarm) for alarm in self.alarms]
        return content | {"counts": self.counts.as_json(), "alarms": found}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunRecord":
        """The record that `as_json` wrote.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it is not one.
        """
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        typed = {
            "checkpoint": CheckpointRecord(**content["checkpoint"]),
            "listing": Listing(**content["listing"]),
            "last_run": LastRun(**content["last_run"]),
            "counts": Counts.from_json(content["counts"]),
            "alarms": [Alarm(**each) for each in content.get("alarms", ())],
        }
        return cls(**(known | typed))


def tables_of(content: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Sizes and digests of the tables that the content of a `run.json` names.

    While tables are replaced, it names those of the earlier and of the new set.

    Raises:
        MismatchError: it is not the content of a `run.json`.
    """
    if content is None:
        return {}
    if isinstance(content, dict) and is_replacement(content):
        return tables_of(content.get("old")) | tables_of(content.get("new"))
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise MismatchError("run.json is not a record of batch-ser; --restart begins again")
    return tables


def is_replacement(content: dict[str, Any]) -> bool:
    """Whether the content of a `run.json` is that of tables that are being replaced."""
    return content.get("complete") is False
