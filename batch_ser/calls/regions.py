"""Regions of time: their union, their overlap, their length; in seconds."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import inf

Region = tuple[float, float]  # [start, end) in seconds


def union(regions: Iterable[Region]) -> list[Region]:
    """Regions in order, with those that touch or overlap made one."""
    found: list[Region] = []
    for start, end in sorted(regions):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def length_s(regions: Iterable[Region]) -> float:
    """The sum of the lengths of regions that do not overlap."""
    return sum((end - start for start, end in regions), 0.0)


def intersection(one: Iterable[Region], other: Sequence[Region]) -> list[Region]:
    """Where both have a region; `other` is a union."""
    found = []
    for start, end in one:
        at = max(0, bisect_right(other, (start, inf)) - 1)  # the last that starts by then
        while at < len(other) and other[at][0] < end:
            both = max(start, other[at][0]), min(end, other[at][1])
            if both[0] < both[1]:
                found.append(both)
            at += 1
    return found


def holding(regions: Sequence[Region], at_s: float) -> Region | None:
    """The region of a union that a time is inside of, and not its start."""
    number = bisect_right(regions, (at_s, -inf)) - 1  # the last that starts before it
    return regions[number] if number >= 0 and at_s < regions[number][1] else None
