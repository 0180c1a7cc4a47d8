"""`--adapt`: a second pass over what was scored, in which every segment is heard in its group."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError, UsageError
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
from batch_ser.output import Output
from batch_ser.tables import TableSchemas, with_scores
from jobs.heartbeat import Heartbeat
from jobs.report import RunReport
from models.loading import load_checkpoint
from models.scoring import Checkpoint


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
        scored, keys = Scored.of(rows, self.schemas), keys_of(rows, self.by)
        sums = self.sums
        if self.by == RECORDING:
            sums = {}
            add_sums(sums, keys, scored)
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
    """
    output = Output(Path(out))
    told = grouping(by, balanced)
    output.publish()
    record = output.run_record()
    if record is None or output.work.exists():
        raise MismatchError(f"{out}: no complete output; end its run first")
    checkpoint = load_checkpoint(model or record["configuration"]["model"])
    if checkpoint.digest != record["checkpoint"]["sha256"]:
        raise MismatchError(
            f"{out} was scored by {record['checkpoint']['name']} "
            f"({record['checkpoint']['sha256'][:12]}), found {checkpoint.digest[:12]}; expected "
            "that checkpoint as --model"
        )
    schemas = _schemas(output, record, told)
    check_grouping(by, schemas)
    adapter = None
    if by != NONE:
        checkpoint.check_adapts()
        adapter = Adapter(checkpoint, schemas, by, balanced)
    with Heartbeat(output.work) as heartbeat:
        heartbeat.check()
        fingerprint = json.loads(schemas.metadata["settings"])
        configuration = record["configuration"] | {"adapt": by, "adapt_balanced": balanced}
        changed = record | {"fingerprint": fingerprint, "configuration": configuration}
        return RunReport(finalise(output, schemas, changed, adapter), configuration["max_failed"])


def _schemas(output: Output, record: dict[str, Any], told: dict[str, str]) -> TableSchemas:
    """Of tables that hold the same segments, and say how they are adapted now."""
    shown = bool(record["configuration"].get("embeddings"))
    files = output.table_files(output.as_scored)
    schemas = TableSchemas.of(pq.read_schema(files[0]), True, shown)
    if not schemas.embedding_width:
        raise UsageError(
            f"{output.out} has no embeddings; expected results of a run with --adapt or "
            "--embeddings"
        )
    settings = {name: each for name, each in record["fingerprint"].items() if name != "adapt"}
    metadata = dict(schemas.metadata) | {"settings": json.dumps(settings | told)}
    return replace(schemas, metadata=metadata)
