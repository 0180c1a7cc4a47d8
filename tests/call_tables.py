"""Tables of calls that are composed by hand, and whole outputs of them: no audio is needed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.calls import CallTable, Channels, EmotionScale
from batch_ser.results import Output, RunRecord, TableSchemas, file_row, talk_time
from batch_ser.results.json_files import write_json
from batch_ser.results.run_record import CheckpointRecord, LastRun, Listing
from batch_ser.storage import describe_files

LABELS = ("neutral", "happy", "angry", "sad")
ROLES = {0: "agent", 1: "customer"}
CALLS = 40  # that are drawn
ROLE_SETTING = "0=agent,1=customer"
PER_S = 1_000  # times of the composed calls are whole milliseconds
Rows = list[dict[str, Any]]
SCHEMAS = TableSchemas(LABELS, detects=True)
# who speaks when, and as what: channel, start, end, crosstalk; and with probabilities of LABELS
SPEECH = (
    (0, 0.5, 6.5, False),
    (0, 12.0, 14.0, False),
    (0, 20.0, 20.4, False),
    (0, 29.0, 33.0, False),
    (1, 6.0, 10.0, False),
    (1, 18.0, 30.0, False),
    (1, 40.0, 42.0, True),
)
SEGMENTS = (
    (0, 0.5, 6.5, False, (0.6, 0.4, 0.0, 0.0)),
    (0, 12.0, 14.0, False, (1.0, 0.0, 0.0, 0.0)),
    (0, 29.0, 33.0, False, (0.6, 0.0, 0.4, 0.0)),
    (1, 6.0, 10.0, False, (0.5, 0.5, 0.0, 0.0)),
    (1, 18.0, 24.0, False, (0.2, 0.0, 0.7, 0.1)),
    (1, 24.0, 30.0, False, (0.5, 0.1, 0.3, 0.1)),
    (1, 40.0, 42.0, True, (0.0, 1.0, 0.0, 0.0)),
)


def speech_rows(
    regions: Sequence[tuple[int, float, float, bool]],
    file: str = "a.wav",
    roles: Mapping[int, str] = ROLES,
) -> Rows:
    names = ("channel", "start_s", "end_s", "crosstalk")
    found = (dict(zip(names, each, strict=True)) for each in sorted(regions))
    return [{"file": file, "role": roles.get(each["channel"])} | each for each in found]


def segment_rows(
    segments: Sequence[tuple[int, float, float, bool, Sequence[float]]],
    file: str = "a.wav",
    roles: Mapping[int, str] = ROLES,
    **further: str | None,
) -> Rows:
    found: Rows = []
    for channel, start, end, crosstalk, scores in sorted(segments):
        best = max(range(len(LABELS)), key=lambda number: scores[number])
        row = {"file": file, "channel": channel, "role": roles.get(channel)}
        row |= {"segment": sum(each["channel"] == channel for each in found)}
        row |= {"start_s": start, "end_s": end, "crosstalk": crosstalk}
        row |= {"emotion": LABELS[best], "confidence": scores[best]}
        scored = {f"p_{label}": p for label, p in zip(LABELS, scores, strict=True)}
        found.append(row | scored | further)
    return found


def files_row(
    speech: Rows | None,
    file: str = "a.wav",
    channels: int = 2,
    duration_s: float = 60.0,
    status: str = "ok",
    **further: Any,
) -> dict[str, Any]:
    """The row of a recording whose channels are split; without talk time if `speech` is None."""
    row = file_row(
        file, 1, 1, status, channels=channels, duration_s=duration_s, sample_rate_hz=PER_S
    )
    if speech is not None:
        own = [
            [
                (round(each["start_s"] * PER_S), round(each["end_s"] * PER_S))
                for each in speech
                if each["channel"] == number and not each["crosstalk"]
            ]
            for number in range(channels)
        ]
        talk = talk_time(own, round(duration_s * PER_S))
        row["speech_s"] = [frames / PER_S for frames in talk.by_channel]
    return row | further


def call_row(
    speech: Rows | None,
    segments: Rows,
    *,
    parties: tuple[str, ...] = ("agent", "customer"),
    score: str | None = None,
    roles: Mapping[int, str] = ROLES,
    **file: Any,
) -> dict[str, Any]:
    """What the table of calls has of one recording."""
    table = CallTable(EmotionScale.of(LABELS), parties, (), Channels(roles=roles), score)
    as_tables = (
        pa.Table.from_pylist(rows, schema=schema) if rows else None
        for rows, schema in ((segments, SCHEMAS.segments), (speech, SCHEMAS.speech))
    )
    return table.row(files_row(speech, **file), *as_tables)


def drawn_calls(count: int = CALLS) -> tuple[Rows, Rows, Rows]:
    """Rows of the files, segments and speech tables of calls in queues, one with an odd name."""
    draw = np.random.default_rng(0)
    files: Rows = []
    segments: Rows = []
    speech: Rows = []
    for number in range(count):
        file, regions, scored = f"call{number:02}.wav", [], []
        for channel in ROLES:
            at = 0
            for _ in range(draw.integers(1, 12)):
                start = at + int(draw.integers(100, 9_000))
                at = start + int(draw.integers(250, 8_000))
                region = channel, start / 1_000, at / 1_000, bool(draw.random() < 0.1)
                regions.append(region)
                if draw.random() < 0.8:
                    scored.append((*region, draw.dirichlet(np.ones(len(LABELS))).tolist()))
        queue = ("=1+1", "sales", None)[number % 3]
        mine = speech_rows(regions, file)
        segments += segment_rows(scored, file, queue=queue)
        speech += mine
        files.append(files_row(mine, file, duration_s=200.0))
    files.append(files_row(None, "failed.wav", status="failed", channels=None, duration_s=None))
    return files, segments, speech


def write_output(
    out: Path,
    files: Rows,
    segments: Rows,
    speech: Rows | None,
    columns: tuple[str, ...] = (),
    **settings: Any,
) -> None:
    """A complete output in single files, of rows in order of the files' names."""
    metadata = {"labels": json.dumps(LABELS), "program": "batch-ser test", "licence": "none"}
    schemas = TableSchemas(LABELS, columns, metadata, detects=speech is not None)
    output, paths = Output(str(out)), []
    tables = (("segments", segments), ("files", files), ("speech", speech))
    for name, rows in tables:
        if rows is not None:
            paths.append(out.parent / output.table(name))
            table = pa.Table.from_pylist(rows, schema=getattr(schemas, name))
            pq.write_table(table, paths[-1], row_group_size=7)
    record = RunRecord(
        program="batch-ser test",
        finished="2026-11-29T00:00:00+00:00",
        configuration={},
        fingerprint={"channels": "split"} | settings,
        checkpoint=CheckpointRecord("test", "0", "none", list(LABELS)),
        listing=Listing(0, 0),
        last_run=LastRun("", 0.0, 0.0, {}, 0),
        tables=describe_files(paths, out.parent),
    )
    write_json(output.folder, output.run_json, record.as_json())
