"""A sample decoded, and some of it scored, by the code of a worker: what that takes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow.compute as pc

from batch_ser.archives import OpenArchives
from batch_ser.results import FAILED
from jobs.plan.sampling import Drawn, Stratum, StratumKey, in_turn
from jobs.sharding import Shard, listed_s, order
from jobs.worker import Decoded, ShardResult, ShardSettings, decoded
from jobs.worker_process import Worker

MOST = 400  # files that are decoded
BATCH = 20  # of them between two looks at the clock
SHARD_AUDIO_S = 600.0  # about half of a run's shard: with less, batches are less full
FIRST_S = 300.0  # of each recording no more is scored: variety is worth more


@dataclass(frozen=True)
class Scored:
    """One shard of a sample, scored."""

    audio_s: float  # of its recordings, as far as they were read
    core_s: float
    wall_s: float
    model_s: float  # in the network, by the clock
    scored_s: float  # in segments, over all channels
    segments: int
    speech: int  # regions


@dataclass
class Sample:
    """What was measured, by stratum."""

    decoded: dict[StratumKey, list[Decoded]] = field(default_factory=dict)
    scored: dict[StratumKey, list[Scored]] = field(default_factory=dict)
    results: list[ShardResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # the reason, by name of the file
    warm_up_s: float = 0.0  # core-seconds of the first recording: libraries begin with some work

    @property
    def files(self) -> int:
        """How many were decoded."""
        return sum(map(len, self.decoded.values()))

    @property
    def reasons(self) -> Counter[str]:
        return Counter(self.failed.values())

    @property
    def waiting(self) -> float:
        """Seconds by the clock for each core-second of scoring; 1 if nothing was scored."""
        core_s = sum(each.core_s for each in self.shards)
        return sum(each.wall_s for each in self.shards) / core_s if core_s else 1.0

    @property
    def shards(self) -> list[Scored]:
        return [each for shards in self.scored.values() for each in shards]


def decode(
    drawn: Drawn, settings: ShardSettings, until: Callable[[], bool], sample: Sample
) -> Iterator[int]:
    """Decode files of all strata, in proportion to their work, until there are enough.

    Yields the number of files decoded by now.

    Raises:
        Incomplete: there is no room for copies of remote ones.
    """
    strata, archives = drawn.strata, OpenArchives()
    most = {key: len(stratum.kept) for key, stratum in strata.items()}
    kept = {key: iter(stratum.kept) for key, stratum in strata.items()}
    sample.decoded = {key: [] for key in strata}
    keys = islice(in_turn({key: each.work_s for key, each in strata.items()}, most), MOST)
    while batch := [(next(kept[key]), key) for key in islice(keys, BATCH)]:
        batch.sort(key=lambda each: order(each[0]))  # those of an archive in their order
        found = decoded([file for file, _ in batch], settings, archives)
        for (file, key), one in zip(batch, found, strict=True):
            sample.decoded[key].append(one)
            if one.error:
                sample.failed[file.file] = one.error.reason.value
        yield sample.files
        if until():
            return


def audio_of(stratum: Stratum, files: Sequence[Decoded]) -> float:
    """Seconds of audio of a whole stratum, in proportion; 0 if none of it was decoded."""
    listed = sum(listed_s(each.file) for each in files)
    return stratum.listed_s * sum(each.duration_s for each in files) / listed if listed else 0.0


def score(
    drawn: Drawn, worker: Worker, first_s: float, until: Callable[[], bool], sample: Sample
) -> Iterator[float]:
    """Score what was decoded, in shards of one stratum each, until there are enough.

    No more than `first_s` of a recording is scored. Yields the seconds of audio by now.
    """
    shards = {key: list(_shards(files, first_s)) for key, files in sample.decoded.items()}
    audio_s = {key: audio_of(drawn.strata[key], files) for key, files in sample.decoded.items()}
    most = {key: len(each) for key, each in shards.items()}
    waiting = {key: iter(each) for key, each in shards.items()}
    sample.scored = {key: [] for key in shards}
    _warm_up(worker, sample)
    for key in in_turn(audio_s, most):
        sample.scored[key].append(_scored(worker, next(waiting[key]), first_s, sample))
        yield sum(each.audio_s for each in sample.shards)
        if until():
            return


def _shards(files: Sequence[Decoded], first_s: float) -> Iterator[list[Decoded]]:
    shard: list[Decoded] = []
    audio_s = 0.0
    for each in files:
        if each.error:
            continue
        shard.append(each)
        audio_s += min(each.duration_s, first_s)
        if audio_s >= SHARD_AUDIO_S:
            yield shard
            shard, audio_s = [], 0.0
    if shard:
        yield shard


def _warm_up(worker: Worker, sample: Sample) -> None:
    good = [each for files in sample.decoded.values() for each in files if not each.error]
    if good:
        shortest: Shard = [min(good, key=lambda each: each.duration_s).file]
        started = time.process_time()
        list(worker.score(shortest, {}))
        sample.warm_up_s = time.process_time() - started


def _scored(worker: Worker, shard: Sequence[Decoded], first_s: float, sample: Sample) -> Scored:
    files = sorted((each.file for each in shard), key=order)
    started, started_core = time.perf_counter(), time.process_time()
    results = list(worker.score(files, {}))
    wall_s, core_s = time.perf_counter() - started, time.process_time() - started_core
    sample.results.append(results[-1])  # which has all rows
    rows = results[-1].files
    for name, status, reason in zip(*map(rows.column, ("file", "status", "reason")), strict=True):
        if status.as_py() == FAILED:
            sample.failed[name.as_py()] = reason.as_py()
    read = dict(zip(rows["file"].to_pylist(), rows["duration_s"].to_pylist(), strict=True))
    return Scored(
        audio_s=sum(read[each.file.file] or min(each.duration_s, first_s) for each in shard),
        core_s=core_s,
        wall_s=wall_s,
        model_s=sum(each.stage_s["model"] for each in results),
        scored_s=pc.sum(rows["scored_s"]).as_py() or 0.0,
        segments=len(results[-1].segments),
        speech=len(results[-1].speech),
    )
