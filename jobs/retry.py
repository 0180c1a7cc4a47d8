"""`batch-ser retry`: the failed files of a complete output again, with the options of its run."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow.parquet as pq

from batch_ser.addresses import scheme_of
from batch_ser.errors import CheckpointError, MismatchError, Reason, UsageError
from batch_ser.results import FAILED, Output, RunRecord
from jobs.driver import run
from jobs.failed_again import FailedAgain
from jobs.progress import Progress
from jobs.recovery import check_exists, recover_output, storage_errors
from jobs.report import RunReport, failed_files, stale_notes
from jobs.run_config import WORKING_FOLDER, RunConfig
from models.loading import resolve


@dataclass(frozen=True)
class RetryOptions:
    """Options that may be other ones than those of the run; None: as they were."""

    model: str | None = None  # where the checkpoint is now
    device: str | None = None
    engine: str | None = None
    workers: int | None = None
    address: str | None = None
    file_timeout_s: float | None = None
    max_hours: float | None = None


@dataclass(frozen=True)
class Retried:
    """What became of the files that were to be done again; fields are keys of JSON."""

    files_retried: int = 0
    files_good: int = 0  # of these: ok or empty now
    files_failed_again: int = 0
    files_not_listed: int = 0  # no longer among the inputs; their rows stay
    files_too_long: int = 0  # not retried: they would fail again without a higher --max-hours


@dataclass(frozen=True)
class RetryReport:
    """The report of the output, and of what was retried."""

    report: RunReport
    retried: Retried

    @property
    def exit_code(self) -> int:
        """As that of a run: 0, or 3 when more files failed than its `--max-failed` allows."""
        return self.report.exit_code

    def as_json(self) -> str:
        """The record as `run.json` has it, and under `retried` what was done."""
        content = self.report.record.as_json() | {"retried": asdict(self.retried)}
        return json.dumps(content, indent=1)

    def as_text(self) -> str:
        """What was retried, and below it the closing table of the output."""
        return f"{_as_text(self.retried)}\n\n{self.report.as_text()}"


def retry(
    out: str,
    reasons: Sequence[str] = (),
    options: RetryOptions | None = None,
    progress: Progress | None = None,
) -> RetryReport:
    """Do the failed files of a complete output again: all, or those of some reasons.

    What is good now replaces the failed row, and so does another failure. While it runs, the
    working folder of the process is the one where the run was given.

    Raises:
        UsageError: an unknown reason, no complete output, or its inputs or checkpoint are gone.
        AlreadyRunning, Incomplete, Stopped: as for `run`.
    """
    check_reasons(reasons)
    options = options or RetryOptions()
    output = Output(out if scheme_of(out) else os.path.abspath(out))
    check_exists(output)
    recover_output(output)
    with storage_errors(output):
        record = output.run_record()
        if record is None:
            raise MismatchError(
                f"{out}: not complete; give its run again first, unless it is running: `batch-ser "
                "status` shows that"
            )
        config, again = _prepare(output, record, frozenset(reasons), options)
        if not _any_failed(record, again) and output.settings() is None:
            report = RunReport(record, config.max_failed, failed_files(output), stale_notes(output))
            return RetryReport(report, Retried())
    with _working_folder(output, record, config):
        report = run(config, progress, again)
    with storage_errors(output):
        return RetryReport(report, _retried(output, again))


def check_reasons(reasons: Sequence[str]) -> None:
    """Refuse words that are no reasons.

    Raises:
        UsageError: there is one.
    """
    if unknown := [each for each in reasons if each not in [*Reason]]:
        raise UsageError(f"--reason {unknown[0]}: expected one or more of {', '.join(Reason)}")


def _prepare(
    output: Output, record: RunRecord, reasons: frozenset[str], options: RetryOptions
) -> tuple[RunConfig, FailedAgain]:
    """The configuration of the run with the options that are given, and the choice of files.

    An offset that was taken over is that of the output itself: the earlier output may be gone, or
    have another one now.
    """
    recorded = record.configuration
    config = RunConfig.from_json(recorded, output.folder.place(output.run_json))
    given = {name: value for name, value in asdict(options).items() if value is not None}
    hours = given.pop("max_hours", config.reading.max_hours)
    if options.model is not None:
        given["model"] = resolve(options.model)
    kept = {name: recorded.get(name) for name in ("out", "adapt_from", WORKING_FOLDER)}
    if "adapt_from" in record.fingerprint:
        given["adapt_from"] = output.out
    reading = replace(config.reading, max_hours=hours)
    config = replace(config, out=output.out, reading=reading, **given)
    return config, FailedAgain(reasons, hours, kept)


def _any_failed(record: RunRecord, again: FailedAgain) -> bool:
    return any(count and again.names(word) for word, count in record.counts.reasons.items())


@contextlib.contextmanager
def _working_folder(output: Output, record: RunRecord, config: RunConfig) -> Iterator[None]:
    """Inside, relative paths are what they were to the run.

    Raises:
        UsageError: its folder, or its checkpoint, is gone.
    """
    recorded = record.configuration.get(WORKING_FOLDER)
    folder = recorded if isinstance(recorded, str) else os.curdir  # of an earlier version
    paths = [*config.inputs, config.selection.root or os.sep]
    if all(scheme_of(each) or os.path.isabs(each) for each in paths) and not os.path.isdir(folder):
        folder = os.curdir
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(contextlib.chdir(folder))
        except OSError as error:
            raise UsageError(
                f"{output.out}: its run was given in {folder}, where its relative inputs start, "
                f"and that cannot be entered ({error.strerror}); put it back, or give the run again"
            ) from error
        _check_checkpoint(output, config)
        yield


def _check_checkpoint(output: Output, config: RunConfig) -> None:
    try:
        resolve(config.model)
    except CheckpointError as error:
        raise CheckpointError(
            f"{output.out}: the checkpoint of its run is not found ({error}); give --model"
        ) from error


def _retried(output: Output, again: FailedAgain) -> Retried:
    """What became of the chosen files, and of those that could not be chosen."""
    failed: dict[str, str] = {}
    for path in output.table_files("files"):
        rows = pq.read_table(path, columns=["file", "reason"], filters=[("status", "=", FAILED)])
        failed |= zip(rows["file"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    failed_again = again.chosen & failed.keys()
    others = failed.keys() - again.chosen - again.too_long
    return Retried(
        files_retried=len(again.chosen),
        files_good=len(again.chosen) - len(failed_again),
        files_failed_again=len(failed_again),
        files_not_listed=sum(again.names(failed[name]) for name in others),
        files_too_long=len(again.too_long),
    )


def _as_text(retried: Retried) -> str:
    if retried == Retried():
        return "nothing to retry: no file failed, or none for these reasons"
    lines = [
        f"retried: {retried.files_retried:,}; good now: {retried.files_good:,}; failed again: "
        f"{retried.files_failed_again:,}"
    ]
    if retried.files_not_listed:
        lines.append(
            f"no longer among the inputs: {retried.files_not_listed:,}; their rows are kept"
        )
    if retried.files_too_long:
        lines.append(
            f"not retried, since too long still: {retried.files_too_long:,}; a higher --max-hours "
            "does them"
        )
    return "\n".join(lines)
