"""Recount talk time from the speech table, and check that one role alone was scored."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from batch_ser.results.tables import FAILED
from batch_ser.results.talk_time import talk_time

Region = tuple[int, int]  # [start, end) in frames
CROSSTALK = "crosstalk"  # a word of `note`


def speech_faults(row: dict[str, Any], speech: pa.Table | None) -> Iterator[str]:
    """What is wrong with a file's row, given its rows in the speech table."""
    rows = [] if speech is None else speech.to_pylist()
    if row["status"] == FAILED or row["speech_s"] is None:
        if rows:
            yield f"{row['status']}, with {len(rows)} regions of speech and no talk time"
        return
    rate_hz, total = row["sample_rate_hz"], round(row["duration_s"] * row["sample_rate_hz"])
    regions: dict[int, list[Region]] = {}  # by channel
    own: dict[int, list[Region]] = {}  # the same without crosstalk
    for each in rows:
        region = round(each["start_s"] * rate_hz), round(each["end_s"] * rate_hz)
        regions.setdefault(each["channel"], []).append(region)
        if not each["crosstalk"]:
            own.setdefault(each["channel"], []).append(region)
    if not _are_in_order(rows, regions, total):
        yield "its regions of speech are not in order, or not in the recording"
    if any(each["crosstalk"] for each in rows) != (CROSSTALK in (row["note"] or "").split(", ")):
        yield f"its note is {row['note']}, which is not what its regions of speech show"
    talk = talk_time([own[channel] for channel in sorted(own)], total)
    stated = [round(each * rate_hz) for each in row["speech_s"]]
    if [each for each in stated if each] != talk.by_channel:
        yield f"talk time of {stated} samples, its regions of speech have {talk.by_channel}"
    for name, found in (("overlap_s", talk.overlap), ("silence_s", talk.silence)):
        if row[name] is not None and round(row[name] * rate_hz) != found:
            yield f"{name} is {row[name]:.3f}, its regions of speech have {found / rate_hz:.3f}"


def _are_in_order(rows: list[dict[str, Any]], regions: dict[int, list[Region]], total: int) -> bool:
    """Whether regions stand by channel and time, and each is after the one before."""
    channels = [each["channel"] for each in rows]
    edges = [[at for region in each for at in (*region,)] for each in regions.values()]
    bounded = all(each[0] >= 0 and each[-1] <= total for each in edges)
    return channels == sorted(channels) and bounded and all(each == sorted(each) for each in edges)


def role_faults(segments: pa.Table, score: str | None) -> Iterator[str]:
    """Whether segments have another role than the one that was to be scored."""
    if score is None:
        return
    others = set(segments["role"].to_pylist()) - {score}
    if others:
        found = ", ".join(sorted(str(each) for each in others))
        yield f"has segments of the role {found}; scored was {score} alone"
