"""The segments of a complete output, by recording, for what compares them with others or labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError
from batch_ser.results import Output, Part, TableSchemas
from jobs.recovery import recover_output, storage_errors


@dataclass(frozen=True)
class ScoredSegments:
    """A complete output, read file by file."""

    output: Output
    schemas: TableSchemas

    @classmethod
    def of(cls, out: str) -> Self:
        """Those of what `--out` was.

        Raises:
            MismatchError: it is no complete output.
        """
        output = Output(out)
        recover_output(output)
        with storage_errors(output):
            tables = output.table_files("segments") if output.run_record() else []
            if not tables:
                raise MismatchError(
                    f"{out}: no complete output of batch-ser; expected what --out of a run was, "
                    "after its end"
                )
            output.check_tables()
            schema = pq.read_schema(tables[0])
        return cls(
            output, TableSchemas.of(schema, apart=False, shown=True, given=False, detects=False)
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Of its checkpoint."""
        return self.schemas.labels

    def files(self) -> Iterator[str]:
        """The names of all recordings, in order."""
        with storage_errors(self.output):
            for name, _ in Part.published(self.output).rows("files"):
                yield name

    def by_file(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each recording that has segments, in order of its name."""
        with storage_errors(self.output):
            yield from Part.published(self.output).rows("segments")
