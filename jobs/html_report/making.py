"""`batch-ser report`: a complete output as one HTML file that opens offline.

Its figures are those of the tables of calls and groups, which are made first where they are missing
or stale. Recordings are read for clips alone.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from batch_ser.addresses import scheme_of
from batch_ser.errors import Incomplete, MismatchError, UsageError
from batch_ser.inputs import BelowRoot
from batch_ser.report import CONTENT_BYTES, is_page, make_page
from batch_ser.results import MADE_FROM, SUMS, Output, RunRecord, digest_of
from batch_ser.storage import Folder, LocalFolder, is_store, open_folder, split_address
from jobs.figures import one_line
from jobs.html_report.call_details import CallDetails
from jobs.html_report.clips import make_clips
from jobs.html_report.fresh_calls import fresh_calls
from jobs.html_report.tables import ReportTables
from jobs.html_report.worth import worth_of
from jobs.recovery import WAYS_OUT, check_exists, recover_output, storage_errors
from jobs.report import failed_files

ENDINGS = (".html", ".htm")
MOST_CLIPS = 200  # of each kind: 400 of 8 s take 13 MB
FAILED_SHOWN = 50


@dataclass(frozen=True)
class ReportOptions:
    """The options of `batch-ser report`.

    Raises:
        UsageError: one out of its range.
    """

    html: str
    audio: str | None = None  # where the recordings are; None: no clips
    by: Sequence[str] | None = None  # None: the groups that there are
    clips: int = 20  # of each kind

    def __post_init__(self) -> None:
        if not self.html.lower().endswith(ENDINGS):
            raise UsageError(f"--html {self.html}: expected a name that ends in .html")
        if scheme_of(self.html) and not is_store(self.html):
            raise UsageError("--html: found a web address; expected a path, or one of a store")
        if not 0 <= self.clips <= MOST_CLIPS:
            raise UsageError(f"--clips {self.clips}: expected 0 to {MOST_CLIPS}")


@dataclass(frozen=True)
class HtmlReport:
    """What was written, and what is not in it."""

    place: str
    size_bytes: int
    calls: int
    calls_in_all: int
    clips: int
    notes: tuple[str, ...] = ()

    def as_text(self) -> str:
        """A line for the file, and one for each note."""
        calls = f"{self.calls:,} calls"
        if self.calls < self.calls_in_all:
            calls += f" of {self.calls_in_all:,}, those with the highest anger peak"
        line = f"{one_line(self.place)}: {calls}, {self.clips} clips, "
        return "\n".join([f"{line}{self.size_bytes / 1e6:.1f} MB", *self.notes])


def make_report(out: str, options: ReportOptions) -> HtmlReport:
    """Write the report of a complete output.

    Raises:
        UsageError: an option that does not fit the output, or no folder of recordings.
        MismatchError: there is no complete output, or a file with the report's name is not ours.
        AlreadyRunning: the tables of calls have to be made, and a driver is at work.
    """
    output = Output(out)
    folder, name = _place(options.html)
    check_exists(output)
    with _html_errors(options.html):
        _check_ours(folder, name, options.html)
    root = None if options.audio is None else BelowRoot("--audio", options.audio)
    recover_output(output)
    with storage_errors(output):
        fresh = fresh_calls(output, options.by)
        tables = ReportTables.read(fresh, options.clips)
        details = CallDetails.read(tables)
        record = fresh.source.record
        clips = make_clips(root, details.segments, record.configuration)
        numbers = {row["file"]: number for number, row in enumerate(tables.rows)}
        content = _about(output, record) | tables.content() | details.content()
        content |= {"clips": [clip.content(numbers) for clip in clips], "has_audio": bool(root)}
        page = make_page(f"Calls: {PurePosixPath(out).name}", content)
        if digest_of(output.complete_record()) != fresh.source.metadata[MADE_FROM]:
            raise MismatchError(
                f"{out}: its tables were replaced meanwhile; give the command again"
            )
        with _html_errors(options.html):
            folder.write(name, page)
    made = sum(bool(clip.data) for clip in clips)
    notes = [*fresh.notes]
    if root and made < len(clips):
        notes.append(f"{len(clips) - made} clips are missing; the report states why")
    if len(page) > CONTENT_BYTES:
        notes.append(f"larger than {CONTENT_BYTES / 1e6:.0f} MB; fewer --clips make it smaller")
    return HtmlReport(options.html, len(page), len(tables.rows), tables.calls, made, tuple(notes))


def _place(html: str) -> tuple[Folder, str]:
    """The folder of the report, and its name there."""
    if is_store(html):
        bucket, key = split_address(html)
        below, _, name = key.rpartition("/")
        return open_folder(f"{bucket}/{below}"), name
    return open_folder(PurePosixPath(html).parent), PurePosixPath(html).name


@contextmanager
def _html_errors(html: str) -> Iterator[None]:
    """Inside, a report that cannot be written is named, not the output, which is whole.

    Raises:
        Incomplete: it cannot be written, and why.
    """
    try:
        yield
    except OSError as error:
        # ENOENT: no file was deleted meanwhile, as one of an output would have been
        way_out = None if error.errno == errno.ENOENT else WAYS_OUT.get(error.errno or 0)
        why = f"{way_out}, or" if way_out else f"{error.strerror or error};"
        raise Incomplete(
            f"--html {html}: it cannot be written there: {why} choose another place"
        ) from error


def _check_ours(folder: Folder, name: str, html: str) -> None:
    """Refuse to overwrite what is not a report.

    Raises:
        MismatchError: there is such a file, or a folder.
    """
    is_folder = isinstance(folder, LocalFolder) and (folder.path / name).is_dir()
    if is_folder or (folder.find(name) and not is_page(folder.read(name))):
        raise MismatchError(
            f"--html {html} exists and is not a report of batch-ser; choose another name or move "
            "it away"
        )


def _about(output: Output, record: RunRecord) -> dict[str, Any]:
    """What was run, what became of the files, and what the figures are worth."""
    counts, settings = record.counts, record.fingerprint
    return {
        "out": output.out,
        "program": record.program,
        "finished": record.finished,
        "made": datetime.now(UTC).isoformat(timespec="minutes"),
        "checkpoint": record.checkpoint.name,
        "licence": record.checkpoint.licence,
        "expect": settings.get("expect"),
        "score": settings.get("score"),
        "worth": worth_of(record),
        "alarms": [asdict(each) for each in record.alarms],
        "files": dict(counts.files) | {"in": counts.files_in},
        "reasons": counts.reasons.most_common(),
        "notes": counts.notes.most_common(),
        "seconds": {name: round(counts.seconds[name], 1) for name in SUMS},
        "failed": [list(each) for each in failed_files(output, FAILED_SHOWN)],
    }
