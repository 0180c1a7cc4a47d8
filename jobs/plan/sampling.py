"""A random sample of the inputs of a job, drawn while they are listed: memory stays flat.

Inputs are divided into strata by the ending of their names and their size, within which seconds of
audio in a byte differ little. Of each stratum some files are kept, each equally likely (reservoir
sampling, algorithm R; Vitter 1985, doi:10.1145/3147.3165).
"""

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from batch_ser.addresses import scheme_of
from batch_ser.inputs import AUDIO_SUFFIXES, InputFile
from jobs.sharding import listed_s, suffix_of, work_s

KEPT = 200  # files of each stratum
SEED = 0
Key = TypeVar("Key", bound=tuple[object, ...])


class StratumKey(NamedTuple):
    """What the files of a stratum have in common."""

    suffix: str  # empty: one that is no usual ending of a recording, of which there may be many
    size: int  # class of sizes; a class has files up to four times as large as the one before


@dataclass
class Stratum:
    """The files of a stratum, counted, and some of them in random order."""

    files: int = 0
    listed_s: float = 0.0  # of audio, estimated from the listing
    longest_s: float = 0.0  # of one file, the same
    work_s: float = 0.0  # the same
    kept: list[InputFile] = field(default_factory=list)


@dataclass
class Drawn:
    """What has been listed: totals that are exact, and a sample."""

    files: int = 0
    size_bytes: int = 0
    copied_bytes: int = 0  # of them: copied to this machine, out of an archive or a store
    failed: Counter[str] = field(default_factory=Counter)  # by reason: found by listing alone
    strata: dict[StratumKey, Stratum] = field(default_factory=dict)  # of all others


def draw(files: Iterable[InputFile], kept: int = KEPT, seed: int = SEED) -> Iterator[Drawn]:
    """List files and draw some of them; yields what there is by now after each file.

    The sample is complete after the last one.
    """
    drawn, draws = Drawn(), random.Random(seed)
    for file in files:
        drawn.files += 1
        if file.error:
            drawn.failed[file.error.reason.value] += 1
        else:
            drawn.size_bytes += file.content_bytes
            if file.member or scheme_of(file.path):
                drawn.copied_bytes += file.content_bytes
            _add(drawn.strata.setdefault(_key(file), Stratum()), file, kept, draws)
        yield drawn
    for stratum in drawn.strata.values():
        draws.shuffle(stratum.kept)


def _key(file: InputFile) -> StratumKey:
    suffix = suffix_of(file)
    size = (file.content_bytes.bit_length() + 1) // 2
    return StratumKey(suffix if suffix in AUDIO_SUFFIXES else "", size)


def _add(stratum: Stratum, file: InputFile, kept: int, draws: random.Random) -> None:
    stratum.files += 1
    stratum.listed_s += listed_s(file)
    stratum.longest_s = max(stratum.longest_s, listed_s(file))
    stratum.work_s += work_s(file)
    if len(stratum.kept) < kept:
        stratum.kept.append(file)
    elif (place := draws.randrange(stratum.files)) < kept:
        stratum.kept[place] = file


def in_turn(weights: Mapping[Key, float], most: Mapping[Key, int]) -> Iterator[Key]:
    """Keys, each as often as `most` allows, and meanwhile in proportion to the weights.

    Whoever stops after some of them has allotted these (by the method of D'Hondt).
    """
    waiting = [(-weight, key) for key, weight in weights.items() if most[key]]
    heapq.heapify(waiting)
    taken: Counter[Key] = Counter()
    while waiting:
        _, key = heapq.heappop(waiting)
        yield key
        taken[key] += 1
        if taken[key] < most[key]:
            heapq.heappush(waiting, (-weights[key] / (taken[key] + 1), key))
