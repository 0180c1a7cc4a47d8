"""Metrics of a job on a Ray cluster, for Prometheus, counted by the driver from the results.

The metrics agent of the driver's node exports them, with `ray_` before their names and `_total`
behind. A Ray that a job starts itself has no such agent.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from ray.util.metrics import Counter

from batch_ser.results import PARTIAL
from jobs.progress import Progress
from jobs.worker import ShardResult


@dataclass(frozen=True)
class Metric:
    """A counter: its name, without what Ray adds, and the labels of its values."""

    name: str
    description: str
    labels: tuple[str, ...] = ()


AUDIO = Metric("batch_ser_audio_seconds", "Seconds of audio done")
LISTED = Metric("batch_ser_files_listed", "Files found that are to be done")
FILES = Metric("batch_ser_files", "Files done, by status and reason", ("status", "reason"))
SEGMENTS = Metric("batch_ser_segments", "Segments scored")
STAGES = Metric("batch_ser_stage_seconds", "Seconds by stage, summed over workers", ("stage",))
METRICS = (AUDIO, LISTED, FILES, SEGMENTS, STAGES)


class RayCounter(Protocol):
    """What is used of `ray.util.metrics.Counter`."""

    def inc(self, value: float, tags: dict[str, str]) -> None:
        """Add a positive value."""


def ray_counter(name: str, description: str, labels: tuple[str, ...]) -> Any:
    """A counter that the metrics agent of the driver's node exports, if the node has one."""
    return Counter(name, description, tag_keys=labels)


def counted(
    results: Iterator[ShardResult],
    progress: Progress,
    new_counter: Callable[[str, str, tuple[str, ...]], RayCounter] = ray_counter,
) -> Iterator[ShardResult]:
    """The results, each counted once the driver has taken it, and `progress` knows it.

    Args:
        new_counter: name, description and labels to a counter of Ray, which must be connected.
    """
    counters = {each: new_counter(each.name, each.description, each.labels) for each in METRICS}
    before: Counts[Metric] = Counts()
    for result in results:
        yield result
        known = {AUDIO: progress.audio_s, LISTED: progress.figures().files_listed}
        for metric, total in known.items():
            _add(counters[metric], total - before[metric])
            before[metric] = total  # type: ignore[assignment]  # floats count, too
        for stage, seconds in result.stage_s.items():
            _add(counters[STAGES], seconds, stage=stage)
        if not result.is_partial:  # its segments are in the last result of its shard, too
            _add(counters[SEGMENTS], len(result.segments))
            for (status, reason), files in _by_status(result.files).items():
                _add(counters[FILES], files, status=status, reason=reason)


def _by_status(files: pa.Table) -> Counts[tuple[str, str]]:
    rows = files.select(["status", "reason"]).to_pylist()
    return Counts((row["status"], row["reason"] or "") for row in rows if row["status"] != PARTIAL)


def _add(counter: RayCounter, value: float, **labels: str) -> None:
    if value > 0:  # Ray refuses others
        counter.inc(value, labels)
