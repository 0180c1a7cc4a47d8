"""Labelled segments of an output with their embeddings, for `train --recipe head --embeddings`."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.labels import Label, Problem, RecordingNames, Segment, match
from batch_ser.results import Part, RunRecord, Sums, TableSchemas
from jobs.label_tables import name_of, segments_of
from jobs.labels_by_file import labels_by_file
from jobs.recovery import storage_errors
from jobs.scored_segments import ScoredSegments
from models.expectation import BALANCED
from models.loading import digest_of
from models.offset_head import Offset
from train.data import Utterance, in_order, parse_labels
from train.own_head import Embedded

MANIFEST = "manifest:"
SPEAKER = "speaker"  # a column of the tables, where a manifest or a name pattern had it
DISPUTED, NOT_CHOSEN = "conflicting", "not_chosen"


class _Row(NamedTuple):
    """A labelled segment."""

    utterance: Utterance
    embedding: NDArray[np.float64]  # (width,)


def labelled_embeddings(out: str, data: Sequence[str], model: Path, labels: str | None) -> Embedded:
    """The segments of a complete output that one manifest in `data` labels, such as `labels.csv`.

    `model` is the checkpoint that the output was scored with. Segments that annotators label
    differently are left out.

    Raises:
        UsageError: no embeddings, another checkpoint, or labels that fit no segment.
        MismatchError: there is no complete output.
    """
    path, scored = _manifest(data), ScoredSegments.of(out)
    record = scored.output.run_record()
    assert record, "the output is complete"
    _check(out, record, model)
    schemas, tables = _embedded(scored)
    by_file, problems = labels_by_file(path, RecordingNames(scored.files()))
    archive, rows = Sums(np.zeros(schemas.embedding_width)), list[_Row]()
    with storage_errors(scored.output):
        for file, table in tables:
            embeddings = schemas.embeddings_of(table).astype(np.float64)
            archive.add(embeddings, 1)
            own = by_file.pop(file, [])
            found = _labelled(file, table, own, schemas.labels, problems)
            corpus = f"{MANIFEST}{path.stem}"
            rows += [_Row(replace(each, corpus=corpus), embeddings[row]) for row, each in found]
    problems["no_file"] += sum(map(len, by_file.values()))
    rows = list(_chosen(rows, labels, problems))
    _report(path, out, rows, +problems)
    return Embedded(
        tuple(each.utterance for each in rows),
        np.array([each.embedding for each in rows]),
        np.array([_length_s(each.utterance) for each in rows]),
        archive,
        record.fingerprint.get("expect") or BALANCED,
        Offset.from_record(record.offset, len(schemas.labels) - 1) if record.offset else None,
    )


def _manifest(data: Sequence[str]) -> Path:
    if len(data) != 1 or not data[0].startswith(MANIFEST):
        raise UsageError(
            f"--embeddings: found --data {', '.join(data) or 'nothing'}; expected one "
            f"{MANIFEST}FILE with labels of the output's segments, such as import-labels writes"
        )
    return Path(data[0].removeprefix(MANIFEST))


def _check(out: str, record: RunRecord, model: Path) -> None:
    """Refuse an output of another checkpoint."""
    found, expected = digest_of(model), record.checkpoint.sha256
    if found != expected:
        raise UsageError(
            f"--embeddings {out}: it was scored with the checkpoint {record.checkpoint.name} "
            f"({expected[:12]}), --init is {model.stem} ({found[:12]}); give the one that it was "
            "scored with"
        )


def _embedded(scored: ScoredSegments) -> tuple[TableSchemas, Iterator[tuple[str, pa.Table]]]:
    """The schemas, and the rows of each recording with embeddings."""
    output = scored.output
    names = tuple(output.listed(output.as_scored, output.complete_record()))
    with storage_errors(output):
        schema = pq.read_schema(output.folder.local(names[0]))
    schemas = TableSchemas.of(schema, apart=False, shown=True, given=False, detects=False)
    if not schemas.embedding_width:
        raise UsageError(
            f"--embeddings {output.out}: found no embeddings; expected an output of run with "
            "--embeddings, or of a checkpoint with an offset head and without --adapt none"
        )
    return schemas, replace(Part.published(output), segments=names).rows("segments")


def _labelled(
    file: str,
    table: pa.Table,
    labels: Sequence[Label],
    known: Sequence[str],
    problems: Counter[str],
) -> Iterator[tuple[int, Utterance]]:
    """The labelled segments of a recording, and their rows."""
    segments = segments_of(table)
    answers: dict[Segment, dict[str, Label]] = {}
    for label in labels:
        segment = match(label, segments)
        if isinstance(segment, Problem):
            problems[segment.reason] += 1
        else:
            answers.setdefault(segment, {}).setdefault(label.annotator, label)
    speakers = table[SPEAKER].to_pylist() if SPEAKER in table.column_names else [""] * len(table)
    for row, segment in enumerate(segments):
        own = answers.get(segment, {})
        names = {name_of(each.text, known) for each in own.values()}
        if len(names) > 1:
            problems[DISPUTED] += 1
        elif names:
            speaker = speakers[row] or ""
            yield row, _utterance(file, segment, names.pop(), speaker)


def _utterance(file: str, segment: Segment, label: str, speaker: str) -> Utterance:
    """Every label counts the same: weights of a sample made heads 1 to 2 points less accurate."""
    return Utterance(
        Path(file),
        label,
        speaker,
        "",
        "",
        start_s=segment.start_s,
        end_s=segment.end_s,
        channel=segment.channel,
        root=None if Path(file).is_absolute() else Path(),
    )


def _length_s(utterance: Utterance) -> float:
    return (utterance.end_s or 0.0) - (utterance.start_s or 0.0)


def _chosen(rows: Sequence[_Row], labels: str | None, problems: Counter[str]) -> Iterator[_Row]:
    """Rows whose label is chosen, under the chosen labels."""
    choice = parse_labels(labels)
    for row in rows:
        label = row.utterance.label
        if choice is None:
            yield row
        elif label in choice.mapping:
            yield row._replace(utterance=replace(row.utterance, label=choice.mapping[label]))
        else:
            problems[NOT_CHOSEN] += 1


def _report(path: Path, out: str, rows: Sequence[_Row], problems: Counter[str]) -> None:
    """State what is left out; refuse labels of which too few are left.

    Raises:
        UsageError: fewer than two labels are.
    """
    found = ", ".join(f"{reason} {count:,}" for reason, count in problems.items())
    labels = in_order(each.utterance.label for each in rows)
    if len(labels) < 2:
        raise UsageError(
            f"{path}: found {len(rows)} labelled segments of {out} with the labels "
            f"{', '.join(labels) or 'none'} ({found or 'nothing else'}); expected two labels or "
            "more, such as import-labels writes for this output"
        )
    if found:
        print(f"{path}: left out: {found} (docs/labels.md)", file=sys.stderr)
