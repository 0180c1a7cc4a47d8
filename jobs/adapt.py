"""`batch-ser adapt`: new tables of a complete output from its embeddings, without audio."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow.parquet as pq

from batch_ser import SCORES_VERSION
from batch_ser.errors import CheckpointError, MismatchError, UsageError
from batch_ser.results import (
    GIVEN_DIGEST,
    NAME_PATTERN,
    NONE,
    SPEECH,
    CommittedParts,
    NamePattern,
    Output,
    RunRecord,
    TableSchemas,
    check_grouping,
    finalise,
    recover,
)
from jobs.alarm_sums import AlarmSums
from jobs.earlier_output import earlier_output
from jobs.fingerprint import ADAPTATION_SETTINGS
from jobs.heartbeat import Heartbeat
from jobs.recovery import check_exists, storage_errors
from jobs.report import RunReport, failed_files, stale_notes
from jobs.second_pass import Adaptation, SecondPass, expect_metadata
from models.loading import load_checkpoint
from models.scoring import Checkpoint


def adapt_again(
    out: str,
    by: str | None = None,
    expect: str | None = None,
    model: str | None = None,
    adapt_from: str | None = None,
    name_pattern: str | None = None,
) -> RunReport:
    """Make new tables of a complete output from its embeddings; what is not given stays.

    Raises:
        UsageError: it has no embeddings, no such column or label, or no such offset.
        MismatchError: there is no complete output, or its checkpoint is another one now.
        AlreadyRunning: a driver is at work on this output.
    """
    output = Output(out)
    check_exists(output)
    with storage_errors(output), Heartbeat(output) as heartbeat:
        recover(output)
        record = output.run_record()
        committed = CommittedParts.of(output)
        if record is None or not committed.all_published:
            raise MismatchError(f"{out}: not complete; give its run again, and then adapt")
        _check_version(out, record)
        checkpoint = _checkpoint(out, record, model)
        adaptation = _adaptation(record, checkpoint, by, expect, adapt_from)
        schemas = _schemas(output, record, checkpoint, adaptation, NamePattern.of(name_pattern))
        check_grouping(adaptation.by, schemas)
        output.check_ours(schemas.tables)
        source = adapt_from or record.configuration.get("adapt_from") or out
        second_pass = SecondPass.of(checkpoint, schemas, adaptation, source)
        changed = _changed(record, schemas, adaptation, source, committed)
        watching = AlarmSums(checkpoint, schemas, adaptation)
        changed = finalise(
            output, committed, schemas, changed, second_pass, heartbeat.check, watching
        )
    return RunReport(
        changed, record.configuration["max_failed"], failed_files(output), stale_notes(output)
    )


def _adaptation(
    record: RunRecord,
    checkpoint: Checkpoint,
    by: str | None,
    expect: str | None,
    adapt_from: str | None,
) -> Adaptation:
    """The options; for those that are not given, what the output has."""
    before = record.fingerprint
    _check_takes_offset(by, before.get("adapt", NONE), adapt_from)
    by = before.get("adapt", NONE) if by is None else by
    expect = before["expect"] if expect is None else expect
    earlier = earlier_output(adapt_from)
    taken = earlier.offset if earlier else record.offset if "adapt_from" in before else None
    return Adaptation(
        by, checkpoint.expectation(expect).text, earlier=None if by == NONE else taken
    )


def _check_takes_offset(by: str | None, before: str, adapt_from: str | None) -> None:
    """Refuse to take an offset over where none is subtracted."""
    if adapt_from is None or (by or before) != NONE:
        return
    found = "--adapt none" if by else "an output without adaptation (--adapt none)"
    raise UsageError(
        f"--adapt-from {adapt_from}: found {found}; expected an output with adaptation: give "
        "--adapt archive, recording or a column with it"
    )


def _check_version(out: str, record: RunRecord) -> None:
    """Refuse tables of another version: they have other columns, or other scores."""
    found = record.fingerprint.get("scores_version")
    if found != SCORES_VERSION:
        raise MismatchError(
            f"{out}: found tables of another version of batch-ser (scores_version {found}), "
            f"expected {SCORES_VERSION}; give its run again with --restart"
        )


def _changed(
    record: RunRecord,
    schemas: TableSchemas,
    adaptation: Adaptation,
    source: str,
    committed: CommittedParts,
) -> RunRecord:
    pattern = schemas.name_pattern
    options = {
        NAME_PATTERN: pattern and pattern.text,
        "adapt": adaptation.by,
        "expect": adaptation.expect,
        "adapt_from": source if adaptation.earlier else None,
    }
    return replace(
        record,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=json.loads(schemas.metadata["settings"]),
        configuration=record.configuration | options,
        listing=replace(
            record.listing, name_unmatched=pattern.unmatched(committed.files) if pattern else 0
        ),
    )


def _checkpoint(out: str, record: RunRecord, model: str | None) -> Checkpoint:
    """The checkpoint that scored an output."""
    try:
        checkpoint = load_checkpoint(model or record.configuration["model"])
    except CheckpointError as error:
        if model:
            raise
        raise CheckpointError(
            f"{out}: the checkpoint of its run is not found ({error}); give --model"
        ) from error
    expected = record.checkpoint
    if checkpoint.digest != expected.sha256:
        raise MismatchError(
            f"{out} was scored by {expected.name} ({expected.sha256[:12]}), found "
            f"{checkpoint.digest[:12]}; expected that checkpoint as --model"
        )
    checkpoint.check_offset()
    return checkpoint


def _schemas(
    output: Output,
    record: RunRecord,
    checkpoint: Checkpoint,
    adaptation: Adaptation,
    pattern: NamePattern | None,
) -> TableSchemas:
    """The schemas of tables with the same segments, and the metadata of the new adaptation.

    A `pattern` takes the place of that of the output.
    """
    schemas = TableSchemas.of(
        pq.read_schema(output.table_files(output.as_scored)[0]),
        apart=True,
        shown=bool(record.configuration.get("embeddings")),
        given=GIVEN_DIGEST in pq.read_schema(output.table_files("files")[0]).names,
        detects=bool(output.table_files(SPEECH)),
    )
    if not schemas.embedding_width:
        raise UsageError(
            f"{output.out} has no embeddings; expected results of a run with --adapt or "
            "--embeddings"
        )
    changed = {*ADAPTATION_SETTINGS, NAME_PATTERN}
    settings = {name: each for name, each in record.fingerprint.items() if name not in changed}
    before = NamePattern.of(record.fingerprint.get(NAME_PATTERN))
    pattern = pattern or before
    if pattern:
        settings[NAME_PATTERN] = pattern.text
    metadata = dict(schemas.metadata) | {
        "settings": json.dumps(settings | adaptation.settings()),
        "expect": expect_metadata(checkpoint, adaptation.expect),
    }
    of_manifest = replace(schemas.without_columns(before), metadata=metadata)
    return of_manifest.with_name_pattern(pattern)
