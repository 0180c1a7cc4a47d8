"""Inputs to shards of about equal work, estimated from the listing: no file is opened."""

from collections.abc import Iterable, Iterator
from itertools import islice

from batch_ser.archives import is_in_order
from batch_ser.inputs import InputFile

LOOK_AHEAD = 10_000  # files that are listed before the longest of them is assigned
SHARD_S = 20.0  # estimated work: short enough to balance and to lose little, long enough to batch
FIRST_SHARD_S = 2.0  # the first results, and the first errors, show soon
WORK_PER_AUDIO_S = 0.015  # a core's seconds per second of audio with the `accurate` checkpoint
BYTES_PER_AUDIO_S = {  # in most archives: one channel at 8 or 16 kHz
    ".wav": 16_000,
    ".flac": 12_000,
    ".mp3": 4_000,
    ".opus": 3_000,
    ".ogg": 4_000,
    ".gsm": 1_650,
    ".amr": 1_600,
    ".awb": 2_400,
    ".m4a": 6_000,
    ".aac": 6_000,
    ".wma": 4_000,
    ".webm": 4_000,
    ".ulaw": 8_000,
    ".alaw": 8_000,
    ".sln": 16_000,
    ".raw": 16_000,
    ".pcm": 16_000,
    ".mp4": 100_000,  # and the next three: most of it is video
    ".mov": 100_000,
    ".mkv": 100_000,
    ".avi": 100_000,
}
OTHER_BYTES_PER_AUDIO_S = 8_000

Shard = list[InputFile]


def work_s(file: InputFile) -> float:
    """Estimated work in seconds of one core."""
    return 0.002 + listed_s(file) * WORK_PER_AUDIO_S


def listed_s(file: InputFile) -> float:
    """Seconds of audio, estimated from the listing."""
    return file.content_bytes / BYTES_PER_AUDIO_S.get(suffix_of(file), OTHER_BYTES_PER_AUDIO_S)


def suffix_of(file: InputFile) -> str:
    """The ending of a recording's name, such as `.wav`."""
    name = file.member.name if file.member else file.path
    return name[name.rfind(".") :].lower()


def order(file: InputFile) -> tuple[int, str, tuple[int, ...], float]:
    """How recordings are sorted: in archives that are read forward they come as they are there,
    others longest first.
    """
    if file.member and is_in_order(file.path):
        return 0, file.path, file.member.place, 0.0
    return 1, "", (), -work_s(file)


def plan(files: Iterable[InputFile], workers: int) -> Iterator[Shard]:
    """Shards of about 20 s of work each, the first two for each worker of 2 s, longest files
    first within a look-ahead of 10,000; of archives that are read forward in their order.
    """
    files = iter(files)
    made = 0
    while window := sorted(islice(files, LOOK_AHEAD), key=order):
        shard: Shard = []
        planned_s = 0.0
        for file in window:
            shard.append(file)
            planned_s += work_s(file)
            if planned_s >= (FIRST_SHARD_S if made < 2 * workers else SHARD_S):
                yield shard
                made += 1
                shard, planned_s = [], 0.0
        if shard:
            yield shard
            made += 1
