"""A Parquet file with embedded clips, which `datasets` of Hugging Face opens with its Audio type.

Source: https://huggingface.co/docs/datasets/audio_dataset; the key `huggingface` of the schema is
what `datasets` 5.2 writes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.sample.task import COLUMNS, Task

PARQUET = "data/train-00000-of-00001.parquet"  # the split that load_dataset(FOLDER) finds
ROW_GROUP = 100  # clips: a reader takes so many at once
TYPES = {
    "channel": pa.int8(),
    "segment": pa.int32(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
    "confidence": pa.float64(),
    "weight": pa.float64(),
    "second": pa.int8(),
}  # of columns that are not text
NAMES = {pa.float64(): "float64"}  # where they differ from those of Arrow


def write_hugging_face(folder: Path, tasks: Sequence[Task], _: Sequence[str], __: str) -> list[str]:
    """The tasks as rows, with the bytes of their clips."""
    path, schema = folder / PARQUET, _schema()
    path.parent.mkdir(exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for at in range(0, len(tasks), ROW_GROUP):
            rows = [_row(folder, task) for task in tasks[at : at + ROW_GROUP]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return [PARQUET]


def _row(folder: Path, task: Task) -> dict[str, Any]:
    return {"audio": {"bytes": (folder / task.clip).read_bytes(), "path": task.clip}} | asdict(task)


def _schema() -> pa.Schema:
    types = {name: TYPES.get(name, pa.string()) for name in COLUMNS}
    audio = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features: dict[str, Any] = {"audio": {"_type": "Audio"}}
    for name, kind in types.items():
        features[name] = {"dtype": NAMES.get(kind, str(kind)), "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema({"audio": audio} | types, metadata=metadata)
