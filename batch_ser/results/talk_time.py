"""Talk time: how long each channel has speech, several at once, and none; of the speech table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class TalkTime(NamedTuple):
    """Frames of speech per channel, of several channels speaking at once, and of none."""

    by_channel: list[int]
    overlap: int
    silence: int


def talk_time(channels: Sequence[Iterable[tuple[int, int]]], total: int) -> TalkTime:
    """Of regions of speech [start, end) per channel, within `total` frames."""
    regions = [[*speech] for speech in channels]
    by_channel = [sum(end - start for start, end in speech) for speech in regions]
    steps = sorted(
        (at, by) for speech in regions for s, e in speech for at, by in ((s, 1), (e, -1))
    )
    overlap = silence = speaking = before = 0
    for at, by in [*steps, (total, 0)]:
        overlap += (at - before) * (speaking > 1)
        silence += (at - before) * (speaking == 0)
        speaking, before = speaking + by, at
    return TalkTime(by_channel, overlap, silence)
