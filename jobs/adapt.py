"""`--adapt`: a second pass over what was scored, in which every segment is heard in its group."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import CheckpointError, MismatchError, UsageError
from batch_ser.finalise import finalise
from batch_ser.groups import (
    NONE,
    RECORDING,
    Scored,
    Sums,
    add_sums,
    check_grouping,
    group_of,
    keys_of,
)
from batch_ser.output import TABLES, Output
from batch_ser.parts import committed_parts
from batch_ser.segment import GIVEN
from batch_ser.tables import TableSchemas, with_scores
from jobs.heartbeat import Heartbeat
from jobs.report import RunReport
from models.loading import load_checkpoint
from models.scoring import Checkpoint

AT_ONCE = 8_192  # rows


@dataclass
class Adapter:
    """Rows of the segments table as scored to rows as adapted, group by group."""

    checkpoint: Checkpoint
    schemas: TableSchemas  # of the rows as scored
    by: str
    balanced: bool = False
    sums: dict[object, Sums] = field(default_factory=dict)

    def count(self, files: Iterable[pa.Table]) -> None:
        """The first pass, file by file: a group's sums are added in one order, whatever the parts.

        Not for recordings: the sums of each are taken when it passes.
        """
        if self.by == RECORDING:
            return
        for rows in files:
            add_sums(self.sums, keys_of(rows, self.by), Scored.of(rows, self.schemas))

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The second pass: rows of whole files with the probabilities that their groups give."""
        sums = self.sums
        if self.by == RECORDING:
            sums = {}
            add_sums(sums, keys_of(rows, self.by), Scored.of(rows, self.schemas))
        slices = (rows.slice(at, AT_ONCE) for at in range(0, len(rows), AT_ONCE))
        return pa.concat_tables(self._adapted(each, sums) for each in slices)

    def _adapted(self, rows: pa.Table, sums: dict[object, Sums]) -> pa.Table:
        scored, keys = Scored.of(rows, self.schemas), keys_of(rows, self.by)
        group = group_of(sums, keys, scored)
        scores = self.checkpoint.adapt(
            scored.embeddings, scored.probabilities, group, self.balanced
        )
        return with_scores(rows, scores, self.schemas.labels)


def grouping(by: str, balanced: bool) -> dict[str, str]:
    """What a fingerprint says of an adaptation; nothing where there is none.

    Raises:
        UsageError: groups are promised to be balanced, and there are none.
    """
    if by == NONE and balanced:
        raise UsageError("--adapt-balanced: found --adapt none; expected archive, recording ...")
    return {} if by == NONE else {"adapt": by + ", balanced" * balanced}


def adapt_again(out: str, by: str, balanced: bool, model: str | None = None) -> RunReport:
    """Make a complete output's tables anew from its embeddings, with another adaptation.

    Raises:
        UsageError: it has no embeddings, or no such column.
        MismatchError: there is no complete output, or its checkpoint is another one now.
        AlreadyRunning: a driver is at work on this output.
    """
    output = Output(Path(out))
    told = grouping(by, balanced)
    if not output.run_json.exists() and not output.work.exists():
        raise MismatchError(f"{out}: no output of batch-ser; expected what --out of a run was")
    with Heartbeat(output.work) as heartbeat:
        output.publish()  # of a driver that ended while publishing
        record = output.run_record()
        parts = committed_parts(output)
        if record is None or not all(part.is_published for part in parts):
            raise MismatchError(f"{out}: not complete; give its run again, and then adapt")
        schemas = _schemas(output, record, told)
        check_grouping(by, schemas)
        output.check_ours(TABLES)
        adapter = None
        if by != NONE:
            adapter = Adapter(_checkpoint(out, record, model), schemas, by, balanced)
        changed = record | {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": json.loads(schemas.metadata["settings"]),
            "configuration": record["configuration"] | {"adapt": by, "adapt_balanced": balanced},
        }
        heartbeat.check()
        found = finalise(output, schemas, changed, adapter)
    return RunReport(found, record["configuration"]["max_failed"])


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
    checkpoint.check_adapts()
    return checkpoint


def _schemas(output: Output, record: dict[str, Any], told: dict[str, str]) -> TableSchemas:
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
    settings = {name: each for name, each in record["fingerprint"].items() if name != "adapt"}
    metadata = dict(schemas.metadata) | {"settings": json.dumps(settings | told)}
    return replace(schemas, metadata=metadata)
