"""A few files, scored in this process: the same steps as a job, one JSON object each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from batch_ser.archives import archive_kind, split_member
from batch_ser.audio import MIX, Reading
from batch_ser.errors import UsageError
from batch_ser.inputs import InputFile, Walk, table_name
from batch_ser.results import FAILED, TableSchemas
from batch_ser.segments import GIVEN, SegmentSettings
from batch_ser.storage import is_store, is_web
from jobs.earlier_output import earlier_output
from jobs.worker import ShardSettings, score_shard
from models import Checkpoint, load_checkpoint
from models.batching import BATCH_S, Score
from models.device import usable_device
from models.offsets import ArchiveOffsets

SEGMENT_KEYS = ("channel", "segment", "start_s", "end_s", "emotion", "confidence")


@dataclass(frozen=True)
class PredictConfig:
    """The options of `batch-ser predict`.

    Raises:
        UsageError: given segments, for which there is no manifest here.
    """

    model: str = "accurate"
    device: str = "cpu"
    segment: Mapping[str, float | str | None] = field(default_factory=dict)
    channels: str = MIX
    reading: Reading = field(default_factory=Reading)
    expect: str | None = None
    adapt_from: str | None = None  # an output whose offset is taken over; None: the usual one
    with_segments: bool = False
    batch_s: float = BATCH_S  # padded seconds of audio in one batch

    def __post_init__(self) -> None:
        if self.segment.get("method") == GIVEN:
            raise UsageError(
                "--segment given: expected speech, window or whole; `run` takes manifests"
            )


def predict(paths: Sequence[str], config: PredictConfig) -> Iterator[dict[str, Any]]:
    """The predictions of the files at some paths, and of the recordings in archives there."""
    device = usable_device(config.device, config.model)
    predictor = Predictor(load_checkpoint(config.model, device), config)
    for file in chain.from_iterable(map(_files, paths)):
        yield predictor.prediction(file)


class Predictor:
    """A checkpoint and the options of `batch-ser predict`, checked once."""

    def __init__(self, checkpoint: Checkpoint, config: PredictConfig) -> None:
        self.checkpoint = checkpoint
        self._labels = checkpoint.info.labels
        defaults = dict(checkpoint.info.segment) | {"piece_s": checkpoint.info.max_input_s}
        expect, offsets = _adaptation(config, checkpoint)
        self._settings = ShardSettings(
            segment=SegmentSettings.resolve(config.segment, defaults),
            schemas=TableSchemas(self._labels),
            channels=config.channels,
            batch_s=config.batch_s,
            reading=config.reading,
            expect=expect,
            offsets=offsets,
        )
        self._with_segments = config.with_segments

    def prediction(
        self, file: InputFile, score: Score | None = None, channels: str | None = None
    ) -> dict[str, Any]:
        """Of a file its name, emotion, confidence and all emotions' probabilities.

        The probabilities are the mean over its segments, weighted by their durations. A file that
        cannot be read has an `error`; one without speech has no emotion. `score` scores pieces of
        segments elsewhere, by the same checkpoint. `channels` replaces the option.
        """
        settings = replace(self._settings, channels=channels or self._settings.channels)
        [result] = score_shard([file], self.checkpoint, settings, score=score)
        prediction = _prediction(result.files.to_pylist()[0], self._labels)
        if self._with_segments and "error" not in prediction:
            prediction["segments"] = [
                {key: row[key] for key in SEGMENT_KEYS}
                | {"all_emotions": _emotions(row, self._labels)}
                for row in result.segments.to_pylist()
            ]
        return prediction


def _files(path: str) -> Iterator[InputFile]:
    """The file at a path, or the recordings in it where it is an archive: a.tar, a.tar!/b.wav."""
    archive = split_member(path)[0] or path
    if archive_kind(archive) and not is_web(path):
        with suppress(UsageError):  # there is none: its row states that
            walk = Walk((path,))
            if walk.has_archives:
                for file in walk:
                    name = file.file.removeprefix(table_name(os.path.basename(archive)))
                    yield replace(file, file=f"{table_name(archive)}{name}")
                return
    yield InputFile(
        table_name(path), path if is_store(path) or is_web(path) else os.path.abspath(path)
    )


def _adaptation(
    config: PredictConfig, checkpoint: Checkpoint
) -> tuple[str | None, ArchiveOffsets | None]:
    """What is expected, and the offsets that are taken over; None: as the checkpoint has it."""
    if config.expect is None and config.adapt_from is None:
        return None, None
    numbers = checkpoint.head.numbers
    earlier = earlier_output(config.adapt_from)
    expect = earlier.expect if earlier and config.expect is None else config.expect
    checkpoint.expectation(expect)
    if not earlier:
        return expect, None
    place = str(config.adapt_from)
    offsets = ArchiveOffsets.from_record(earlier.offset, numbers, checkpoint.digest, place)
    return expect, offsets


def _prediction(row: dict[str, Any], labels: tuple[str, ...]) -> dict[str, Any]:
    prediction: dict[str, Any] = {"filename": row["file"]}
    if row["status"] == FAILED:
        return prediction | {"error": {"reason": row["reason"], "message": row["message"]}}
    emotions = _emotions(row, labels)
    best = max(emotions, key=lambda label: emotions[label]) if emotions else None
    confidence = emotions[best] if best else None
    return prediction | {"emotion": best, "confidence": confidence, "all_emotions": emotions}


def _emotions(row: dict[str, Any], labels: tuple[str, ...]) -> dict[str, float]:
    return {label: row[f"p_{label}"] for label in labels if row[f"p_{label}"] is not None}
