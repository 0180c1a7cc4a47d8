"""A few files, scored in this process: the same steps as a job, one JSON object each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batch_ser.audio import Reading
from batch_ser.errors import UsageError
from batch_ser.inputs import InputFile, printable
from batch_ser.results import FAILED, TableSchemas
from batch_ser.segments import GIVEN, SegmentSettings
from jobs.adapter import taken_over
from jobs.worker import ShardSettings, score_shard
from models import load_checkpoint
from models.offsets import ArchiveOffsets

PLACE = ("channel", "segment", "start_s", "end_s", "emotion", "confidence")


def predict(
    paths: Sequence[str],
    model: str,
    device: str,
    segment: Mapping[str, float | str | None],
    channels: str,
    with_segments: bool,
    reading: Reading,
    expect: str | None = None,
    adapt_from: str | None = None,
) -> Iterator[dict[str, Any]]:
    """For each file its name, emotion, confidence and all emotions' probabilities.

    A file's probabilities are the mean over its segments, weighted by their durations. One that
    cannot be read has an `error`; one without speech has no emotion. The offset is the
    usual one, or that of the output `adapt_from`.

    Raises:
        UsageError: segments are to be given, for which there is no manifest here.
    """
    if segment.get("method") == GIVEN:
        raise UsageError("--segment given: expected speech, window or whole; `run` takes manifests")
    checkpoint = load_checkpoint(model, device)
    labels = checkpoint.info.labels
    defaults = dict(checkpoint.info.segment) | {"piece_s": checkpoint.info.max_input_s}
    offsets = None
    if expect is not None or adapt_from is not None:
        head = checkpoint.head
        checkpoint.expectation(expect)
        if record := taken_over(adapt_from):
            place = str(adapt_from)
            offsets = ArchiveOffsets.from_record(record, head.numbers, checkpoint.digest, place)
    settings = ShardSettings(
        SegmentSettings.resolve(segment, defaults), TableSchemas(labels), channels,
        reading=reading, expect=expect, offsets=offsets,
    )  # fmt: skip
    for path in paths:
        result = score_shard(
            [InputFile(printable(path), os.path.abspath(path))], checkpoint, settings
        )
        answer = _answer(result.files.to_pylist()[0], labels)
        if with_segments and "error" not in answer:
            rows = result.segments.to_pylist()
            answer["segments"] = [
                {name: row[name] for name in PLACE} | {"all_emotions": _emotions(row, labels)}
                for row in rows
            ]
        yield answer


def _answer(row: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    answer: dict[str, Any] = {"filename": row["file"]}
    if row["status"] == FAILED:
        return answer | {"error": {"reason": row["reason"], "message": row["message"]}}
    emotions = _emotions(row, labels)
    best = max(emotions, key=lambda label: emotions[label]) if emotions else None
    confidence = emotions[best] if best else None
    return answer | {"emotion": best, "confidence": confidence, "all_emotions": emotions}


def _emotions(row: dict[str, Any], labels: tuple[str, ...]) -> dict[str, float]:
    return {label: row[f"p_{label}"] for label in labels if row[f"p_{label}"] is not None}
