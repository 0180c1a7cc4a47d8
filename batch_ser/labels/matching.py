"""Labels to the segments of an output: by file, channel and number, or by time.

By time, a label belongs to a segment if they overlap by half of either or more: half of the
segment, so that it is what was labelled, and half of the label, so that it is not about more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batch_ser.labels.names import RecordingNames
from batch_ser.labels.reading import OUT_OF_BOUNDS, OUTSIDE_S, ROUNDING_S, Label, Problem
from batch_ser.labels.sampled import Clip, Sample

HALF = 0.5
NO_FILE, NO_CHANNEL, NO_SEGMENT = "no_file", "no_channel", "no_segment"
AMBIGUOUS, OTHER_TIMES = "ambiguous", "other_times"


@dataclass(frozen=True)
class Segment:
    """A segment of the output."""

    channel: int
    role: str
    number: int
    start_s: float
    end_s: float


def placed(label: Label, names: RecordingNames, sample: Sample | None) -> Label | Problem:
    """A label with the name of its recording; one of a clip with that of its segment."""
    clip = sample.clip(label) if sample else None
    if clip:
        return _in_clip(label, clip)
    found = names.find(label.file, label.like)
    if len(found) == 1:
        return replace(label, file=found[0])
    wanted = label.file or label.like
    if found:
        message = f"{len(found)} recordings could be {wanted}"
        return Problem(label.place, AMBIGUOUS, message, label)
    return Problem(label.place, NO_FILE, f"the output has no recording {wanted}", label)


def _in_clip(label: Label, clip: Clip) -> Label | Problem:
    """A label of a clip is about its segment, whichever part of it is marked."""
    length_s = clip.end_s - clip.start_s
    if (label.end_s or label.start_s or 0.0) > length_s + OUTSIDE_S:
        message = f"ends at {label.end_s:g} s, the clip at {length_s:.2f} s"
        return Problem(label.place, OUT_OF_BOUNDS, message, label)
    return replace(
        label,
        file=clip.file,
        channel=clip.channel,
        role="",
        segment=clip.segment,
        start_s=clip.start_s,
        end_s=clip.end_s,
    )


def match(label: Label, segments: Sequence[Segment]) -> Segment | Problem:
    """The segment of its recording that a label is about, or why there is none."""
    allowed = [each for each in segments if label.channel in (None, each.channel)]
    if label.role and label.channel is None:
        allowed = [each for each in allowed if each.role == label.role]
    if not allowed:
        wanted = label.role or label.channel
        which = f"no segment of {wanted}" if wanted is not None else "no segment"
        return Problem(label.place, NO_CHANNEL, f"{label.file} has {which}", label)
    if label.segment is not None:
        allowed = [each for each in allowed if each.number == label.segment]
        if len(allowed) < 2:
            return _numbered(label, allowed)
    if label.start_s is None or label.end_s is None:
        if len(allowed) == 1:  # a recording that is one segment
            return allowed[0]
        message = f"no times, and {label.file} has {len(allowed)} segments"
        return Problem(label.place, AMBIGUOUS, message, label)
    return _overlapping(label, allowed)


def _numbered(label: Label, allowed: Sequence[Segment]) -> Segment | Problem:
    """The one with the label's number; its times must be those of the output, which may have been
    made again.
    """
    if not allowed:
        where = "" if label.channel is None else f" on channel {label.channel}"
        message = f"{label.file} has no segment {label.segment}{where}"
        return Problem(label.place, NO_SEGMENT, message, label)
    (found,) = allowed
    for name in ("start_s", "end_s"):
        value, own = getattr(label, name), getattr(found, name)
        if value is not None and abs(value - own) > ROUNDING_S:
            message = f"segment {label.segment} has the {name} {own:g}, the label {value:g}"
            return Problem(label.place, OTHER_TIMES, message, label)
    return found


def _overlapping(label: Label, allowed: Sequence[Segment]) -> Segment | Problem:
    start_s, end_s = label.start_s or 0.0, label.end_s or 0.0
    found: dict[Segment, float] = {}
    for each in allowed:
        shared_s = min(end_s, each.end_s) - max(start_s, each.start_s)
        longer_s = max(end_s - start_s, each.end_s - each.start_s)
        if shared_s > 0 and shared_s >= HALF * longer_s - 1e-9:
            found[each] = shared_s
    if not found:
        message = f"no segment of {label.file} overlaps {start_s:g} to {end_s:g} s by half"
        return Problem(label.place, NO_SEGMENT, message, label)
    if len({each.channel for each in found}) > 1:
        message = f"{start_s:g} to {end_s:g} s could be on any of several channels"
        return Problem(label.place, AMBIGUOUS, message, label)
    return max(found, key=lambda each: found[each])
