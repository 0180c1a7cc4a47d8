"""`batch-ser adapt`: a complete output's tables made anew from its embeddings, without audio."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batch_ser.errors import CheckpointError, MismatchError, UsageError
from batch_ser.results import (
    NONE,
    TABLES,
    Output,
    TableSchemas,
    check_grouping,
    committed_parts,
    finalise,
)
from batch_ser.segments import GIVEN
from jobs.adapter import Adaptation, adapter_of, expect_metadata, taken_over
from jobs.heartbeat import Heartbeat
from jobs.report import RunReport
from models.loading import load_checkpoint
from models.scoring import Checkpoint


def adapt_again(
    out: str,
    by: str | None = None,
    expect: str | None = None,
    model: str | None = None,
    adapt_from: str | None = None,
) -> RunReport:
    """Make a complete output's tables anew from its embeddings; what is not given stays.

    Raises:
        UsageError: it has no embeddings, no such column or label, or no such offset.
        MismatchError: there is no complete output, or its checkpoint is another one now.
        AlreadyRunning: a driver is at work on this output.
    """
    output = Output(Path(out))
    if not output.run_json.exists() and not output.work.exists():
        raise MismatchError(f"{out}: no output of batch-ser; expected what --out of a run was")
    with Heartbeat(output.work) as heartbeat:
        output.publish()  # of a driver that ended while publishing
        record = output.run_record()
        parts = committed_parts(output)
        if record is None or not all(part.is_published for part in parts):
            raise MismatchError(f"{out}: not complete; give its run again, and then adapt")
        checkpoint = _checkpoint(out, record, model)
        adaptation = _asked(record, by, expect, adapt_from)
        checkpoint.expectation(adaptation.expect)
        schemas = _schemas(output, record, checkpoint, adaptation)
        check_grouping(adaptation.by, schemas)
        output.check_ours(TABLES)
        place = adapt_from or record["configuration"].get("adapt_from") or out
        adapter = adapter_of(checkpoint, schemas, adaptation, place)
        asked = {
            "adapt": adaptation.by, "expect": adaptation.expect,
            "adapt_from": place if adaptation.given else None,
        }  # fmt: skip
        changed = record | {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": json.loads(schemas.metadata["settings"]),
            "configuration": record["configuration"] | asked,
        }
        heartbeat.check()
        found = finalise(output, schemas, changed, adapter)
    return RunReport(found, record["configuration"]["max_failed"])


def _asked(
    record: dict[str, Any], by: str | None, expect: str | None, adapt_from: str | None
) -> Adaptation:
    """What is asked for, and of what is not, what the output has."""
    before = record["fingerprint"]
    stays = by is None and adapt_from is None and "adapt_from" in before
    by = by or before.get("adapt", NONE)
    if by == NONE and adapt_from:
        raise UsageError(f"--adapt-from {adapt_from}: found --adapt none; expected archive, ...")
    given = record["offset"] if stays else taken_over(adapt_from)
    return Adaptation(by, expect or before["expect"], given)


def _checkpoint(out: str, record: dict[str, Any], model: str | None) -> Checkpoint:
    """The checkpoint that scored an output."""
    about = record["checkpoint"]
    try:
        checkpoint = load_checkpoint(model or record["configuration"]["model"])
    except CheckpointError as error:
        if model:
            raise
        raise CheckpointError(
            f"{out}: the checkpoint of its run is not found ({error}); give --model"
        ) from error
    if checkpoint.digest != about["sha256"]:
        raise MismatchError(
            f"{out} was scored by {about['name']} ({about['sha256'][:12]}), found "
            f"{checkpoint.digest[:12]}; expected that checkpoint as --model"
        )
    checkpoint.check_offset()
    return checkpoint


def _schemas(
    output: Output, record: dict[str, Any], checkpoint: Checkpoint, adaptation: Adaptation
) -> TableSchemas:
    """Of tables that hold the same segments, and say how they are adapted now."""
    shown = bool(record["configuration"].get("embeddings"))
    files = output.table_files(output.as_scored)
    given = record["fingerprint"]["segment"]["method"] == GIVEN
    schemas = TableSchemas.of(pq.read_schema(files[0]), True, shown, given)
    if not schemas.embedding_width:
        raise UsageError(
            f"{output.out} has no embeddings; expected results of a run with --adapt or "
            "--embeddings"
        )
    old = ("adapt", "expect", "adapt_from")
    settings = {name: each for name, each in record["fingerprint"].items() if name not in old}
    metadata = dict(schemas.metadata) | {
        "settings": json.dumps(settings | adaptation.settings()),
        "expect": expect_metadata(checkpoint, adaptation.expect),
    }
    return replace(schemas, metadata=metadata)
