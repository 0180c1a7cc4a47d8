"""The report of a run: its closing table and exit status."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.parquet as pq

from batch_ser.errors import UsageError
from batch_ser.results import EMPTY, FAILED, OK, SUMS, Output, RunRecord, stale_tables
from jobs.figures import duration, one_line

COMPLETE, TOO_MANY_FAILED = 0, 3


class FailedFile(NamedTuple):
    """A file that failed, with its reason as a word and as a sentence."""

    file: str
    reason: str
    message: str


@dataclass(frozen=True)
class RunReport:
    """The record of a complete run, as `run.json` has it, and the first files that failed."""

    record: RunRecord
    max_failed: str
    failed: Sequence[FailedFile] = ()
    stale: Sequence[str] = ()  # what `stale_notes` returns

    @property
    def exit_code(self) -> int:
        """0, or 3 when more files failed than `--max-failed` allows."""
        counts = self.record.counts
        within = counts.files[FAILED] <= budget(self.max_failed, counts.files_in)
        return COMPLETE if within else TOO_MANY_FAILED

    def as_json(self) -> str:
        """The record as `run.json` has it."""
        return json.dumps(self.record.as_json(), indent=1)

    def as_text(self) -> str:
        """The closing table, and below it the files that failed, what is stale, and alarms."""
        sections = [_files(self.record), _time(self.record), _emotions(self.record)]
        sections += [_stages(self.record), _equations(self.record), _checkpoint(self.record)]
        lines = [line for section in sections for line in section]
        width = max(len(name) for name, _ in lines)
        table = [f"{name:<{width}}  {text}".rstrip() for name, text in lines]
        return "\n".join([*table, *self._failed_files(), *self.stale, *alarm_lines(self.record)])

    def _failed_files(self) -> list[str]:
        if not self.failed:
            return []
        shown, count = len(self.failed), self.record.counts.files[FAILED]
        first = (
            f"the first {shown} of {count:,}; the files table has all" if count > shown else "all"
        )
        lines = (f"{each.file}: {each.reason}: {each.message}" for each in self.failed)
        return ["", f"failed files ({first})", *(f"  {one_line(line)}" for line in lines)]


def failed_files(output: Output, most: int = 10) -> list[FailedFile]:
    """The first files of a complete output that failed, in order of their names."""
    found: list[FailedFile] = []
    for path in output.table_files("files"):
        rows = pq.read_table(
            path, columns=["file", "reason", "message"], filters=[("status", "=", FAILED)]
        )
        found += [FailedFile(**row) for row in rows.slice(0, most - len(found)).to_pylist()]
    return found


def alarm_lines(record: RunRecord) -> list[str]:
    """A line for each alarm, as `run`, `status` and `verify` print them."""
    return [one_line(f"warning: {each.name}: {each.message}") for each in record.alarms]


def stale_notes(output: Output) -> list[str]:
    """A line for each table of calls that was made of earlier tables than the present ones."""
    return [
        f"stale: {one_line(output.folder.place(name))} was made of earlier tables; give "
        f"`batch-ser calls {one_line(shlex.quote(output.out))}` again"
        for name in stale_tables(output)
    ]


def budget(max_failed: str, files: int) -> float:
    """How many files may fail: a number, or a percentage of all files.

    Raises:
        UsageError: it is neither.
    """
    try:
        number = float(max_failed.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UsageError(f"--max-failed {max_failed}: expected a number, or one with %, such as 2%")
    return files * number / 100 if max_failed.endswith("%") else number


Lines = list[tuple[str, str]]


def _files(record: RunRecord) -> Lines:
    counts = record.counts
    lines = [("files", f"{counts.files_in:,}")]
    for status in (OK, EMPTY, FAILED):
        lines.append((f"  {status}", f"{counts.files[status]:,}"))
        if status == FAILED:
            lines += [(f"    {reason}", f"{count:,}") for reason, count in _ordered(counts.reasons)]
    for note, count in sorted(counts.notes.items()):
        lines.append((f"  {note}", f"{count:,}"))
    if record.listing.ignored:
        lines.append(("  ignored", f"{record.listing.ignored:,} (no audio by their names)"))
    if unmatched := record.listing.name_unmatched:
        lines.append(("  name_unmatched", f"{unmatched:,} (do not fit --name-pattern)"))
    return lines


def _ordered(counter: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first; of equals in order of their names."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def _time(record: RunRecord) -> Lines:
    last = record.last_run
    lines = [("hours of recordings", f"{record.counts.seconds['duration_s'] / 3600:.3f}")]
    if last.audio_s:
        speed = last.audio_s / max(last.wall_s, 1e-9)
        done = f"{last.audio_s / 3600:.3f} h in {duration(last.wall_s)}"
        memory = f"{last.peak_worker_bytes / 1e6:.0f} MB at most in a worker"
        lines.append(("last run", f"{done}, {speed:.0f} x real time, {memory}"))
    return lines


def _emotions(record: RunRecord) -> Lines:
    counts = record.counts
    lines = [("segments", f"{counts.segments:,}")]
    return lines + [(f"  {emotion}", f"{n:,}") for emotion, n in _ordered(counts.emotions)]


def _stages(record: RunRecord) -> Lines:
    stages = record.last_run.stage_s
    if not stages:
        return []
    total = sum(stages.values())
    return [("seconds per stage", f"{total:.1f} (summed over workers)")] + [
        (f"  {stage}", f"{seconds:.1f} ({100 * seconds / total:.0f} %)")
        for stage, seconds in stages.items()
    ]


def _equations(record: RunRecord) -> Lines:
    counts, seconds = record.counts, record.counts.seconds
    files = [f"{counts.files[status]:,} {status}" for status in (OK, EMPTY, FAILED)]
    kinds = [f"{seconds[name]:.1f} {name[:-2].replace('_', ' ')}" for name in SUMS[1:5]]
    return [
        ("closed: files", f"{counts.files_in:,} in = {' + '.join(files)}"),
        ("closed: seconds", f"{seconds['decoded_s']:.1f} decoded = {' + '.join(kinds)}"),
    ]


def _checkpoint(record: RunRecord) -> Lines:
    checkpoint, configuration = record.checkpoint, record.configuration
    adapted = "none: the checkpoint has no offset head"
    if configuration.get("expect"):
        adapted = f"{configuration['adapt']}, expecting {configuration['expect']}"
    if configuration.get("adapt_from"):
        adapted += f", with the offset of {configuration['adapt_from']}"
    return [
        ("adapted", adapted),
        ("checkpoint", f"{checkpoint.name} ({checkpoint.sha256[:12]})"),
        ("licence", checkpoint.licence),
    ]
