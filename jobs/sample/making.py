"""`batch-ser sample`: segments of a complete output, drawn for annotators and cut into clips."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import BelowRoot
from batch_ser.results import MADE_FROM, Output, RunRecord, TableSchemas, digest_of
from jobs.figures import one_line
from jobs.recovery import check_exists, recover_output, storage_errors
from jobs.sample.audformat import check_index
from jobs.sample.clips import CLIPS, MadeClips, make_clips
from jobs.sample.design import Shares
from jobs.sample.destination import Destination
from jobs.sample.drawing import Drawn, draw
from jobs.sample.formats import FORMATS, NAMES, Format
from jobs.sample.strata import ScoreReader
from jobs.sample.task import TABLE, Task, write_table

MISSING_SHOWN = 20  # recordings


@dataclass(frozen=True)
class SampleOptions:
    """The options of `batch-ser sample`.

    Raises:
        UsageError: one out of its range, or clips are needed and there are no recordings.
    """

    dest: str
    to: str
    shares: Shares
    by: str | None = None
    audio: str | None = None  # where the recordings are
    seed: int = 0

    def __post_init__(self) -> None:
        if self.to not in FORMATS:
            raise UsageError(f"--to {self.to}: expected one of {', '.join(FORMATS)}")
        if self.audio is None and self.format.needs_clips:
            others = [name for name, each in FORMATS.items() if not each.needs_clips]
            raise UsageError(
                f"--to {self.to}: found no --audio, expected the folder with the recordings, which "
                f"clips are cut of; without clips there are {' and '.join(others)}"
            )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more")

    @property
    def format(self) -> Format:
        return FORMATS[self.to]


@dataclass(frozen=True)
class SampleReport:
    """What was written, and what is not in it."""

    dest: str
    tasks: Sequence[Task]
    drawn: int
    segments: int
    missing: Mapping[str, str]  # why recordings have no clips

    def as_text(self) -> str:
        """A line for the sample, and one for each recording that has no clips."""
        twice = sum(task.second for task in self.tasks)
        of_all = f"{len(self.tasks):,} tasks of {self.segments:,} segments"
        lines = [f"{one_line(self.dest)}: {of_all}, {twice:,} of them for a second annotator"]
        if left_out := self.drawn - len(self.tasks):
            lines.append(
                f"{left_out:,} of {self.drawn:,} drawn segments are left out, of "
                f"{len(self.missing):,} recordings; weights are those of the whole draw"
            )
        shown = list(self.missing.items())[:MISSING_SHOWN]
        lines += [f"  {one_line(name)}: {reason}" for name, reason in shown]
        if more := len(self.missing) - len(shown):
            lines.append(f"  and {more:,} more")
        return "\n".join(lines)


def make_sample(out: str, options: SampleOptions) -> SampleReport:
    """Draw a sample of a complete output, and write it.

    Raises:
        UsageError: an option that does not fit the output, or no folder of recordings.
        MismatchError: there is no complete output, or the folder of the sample holds other things.
        Incomplete: it cannot be written.
    """
    output = Output(out)
    check_exists(output)
    recover_output(output)
    with storage_errors(output):
        destination = Destination(options.dest, NAMES)
        root = None if options.audio is None else BelowRoot("--audio", options.audio)
        source = Source.of(output, options.by)
        drawn = draw(source.reader, options.shares, options.seed)
        if not drawn.tasks:
            raise UsageError(f"{out}: it has no segments that are not crosstalk, so no tasks")
        if root is None and options.to == "audformat":
            check_index(drawn.tasks)
        made_of = source.made_of(options)
        destination.begin(made_of)
        made = _with_clips(source, root, drawn, destination)
        _write(options, source, destination, made.tasks, made_of)
    return SampleReport(
        options.dest,
        made.tasks,
        len(drawn.tasks),
        drawn.segments,
        dict(sorted(made.missing.items())),
    )


@dataclass(frozen=True)
class Source:
    """A complete output, and its segments."""

    output: Output
    record: RunRecord
    reader: ScoreReader
    digest: str  # of its tables

    @classmethod
    def of(cls, output: Output, by: str | None) -> "Source":
        record = output.run_record()
        if record is None:
            raise MismatchError(f"{output.out}: not complete; give its run again, and then sample")
        output.check_tables()
        paths = output.table_files("segments")
        schema = pq.read_schema(paths[0])
        if "crosstalk" not in schema.names:
            raise MismatchError(
                f"{output.out}: found tables of an earlier version, without the column crosstalk; "
                "give its run again with --restart"
            )
        tables = TableSchemas.of(schema, apart=False, shown=True, given=False, detects=False)
        if by is not None and by not in tables.manifest_columns:
            known = ", ".join(tables.manifest_columns)
            known = known or "none: there is no manifest and no --name-pattern"
            raise UsageError(f"--by {by}: expected a column of the output ({known})")
        reader = ScoreReader(paths, tables.labels, by)
        return cls(output, record, reader, digest_of(output.complete_record()))

    def sizes(self, tasks: Sequence[Task]) -> dict[str, int]:
        """The sizes of the recordings of tasks, in bytes, as they were scored."""
        wanted, found = {task.file for task in tasks}, dict[str, int]()
        for path in self.output.table_files("files"):
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(columns=["file", "size_bytes"]):
                    names, sizes = (batch[name].to_pylist() for name in ("file", "size_bytes"))
                    found |= {
                        name: size
                        for name, size in zip(names, sizes, strict=True)
                        if name in wanted
                    }
        return found

    def made_of(self, options: SampleOptions) -> dict[str, Any]:
        """What `sample.json` states of how a sample was made."""
        given = asdict(options) | {"audio": options.audio is not None}
        checkpoint = self.record.checkpoint
        return {
            "out": self.output.out,
            MADE_FROM: self.digest,
            "checkpoint": checkpoint.name,
            "licence": checkpoint.licence,
            "options": given,
        }


def _with_clips(
    source: Source, root: BelowRoot | None, drawn: Drawn, destination: Destination
) -> MadeClips:
    """The tasks with clips, where there are recordings.

    Raises:
        UsageError: not one clip could be made.
    """
    if root is None:
        return MadeClips(drawn.tasks)
    configuration, sizes = source.record.configuration, source.sizes(drawn.tasks)
    made = make_clips(root, drawn.tasks, sizes, configuration, destination.path)
    if not made.tasks:
        name, reason = next(iter(made.missing.items()))
        raise UsageError(
            f"--audio: not one clip could be made; {one_line(name)}: {reason}; expected the folder "
            "that names in the tables start at"
        )
    return made


def _write(
    options: SampleOptions,
    source: Source,
    destination: Destination,
    tasks: Sequence[Task],
    made_of: Mapping[str, Any],
) -> None:
    """Write what the format has, and `sample.csv`; then the sample is complete."""
    folder, model = destination.path, source.record.checkpoint.name
    names = options.format.write(folder, tasks, source.reader.labels, model)
    if not options.format.keeps_clips:
        for task in tasks:
            (folder / task.clip).unlink()
        (folder / CLIPS).rmdir()
    if digest_of(source.output.complete_record()) != source.digest:
        raise MismatchError(
            f"{source.output.out}: its tables were replaced meanwhile; give the command again"
        )
    write_table(folder / TABLE, tasks, answers=options.format.answers)
    destination.finish(made_of, [*names, TABLE])
