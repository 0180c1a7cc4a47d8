"""Clips of some segments, as the page gets them; each recording is decoded once."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_ser.inputs import BelowRoot
from batch_ser.report import MOST_CLIP_S, cut, encode
from jobs.html_report.call_details import SampleSegment
from jobs.recordings import Unreadable, from_recordings, reading_of
from train.progress import counted


@dataclass(frozen=True)
class Clip:
    """A clip as MP3, or why there is none; neither, if no recordings were to be read."""

    segment: SampleSegment
    data: bytes = b""
    missing: str = ""

    def content(self, numbers: Mapping[str, int]) -> dict[str, Any]:
        """What the page gets; `numbers` are those of the calls on it."""
        segment, window = self.segment, self.segment.window
        return {
            "kind": segment.kind,
            "call": numbers[segment.file],
            "party": segment.party,
            "start_s": round(window.start_s, 1),
            "end_s": round(window.end_s, 1),
            "place": segment.place,
            "is_cut": window.end_s - window.start_s > MOST_CLIP_S,
            "label": segment.label,
            "percent": segment.percent,
            "negative": segment.negative,
            "angry": segment.angry,
            "audio": base64.b64encode(self.data).decode() or None,
            "missing": self.missing or None,
        }


def make_clips(
    root: BelowRoot | None, segments: Sequence[SampleSegment], configuration: Mapping[str, Any]
) -> list[Clip]:
    """A clip of each segment, in their order; `configuration` is that of the run.

    Raises:
        Incomplete: a copy of a recording cannot be written.
    """
    if root is None:
        return [Clip(each) for each in segments]
    of_files: dict[str, list[SampleSegment]] = {}
    for each in segments:
        of_files.setdefault(each.file, []).append(each)
    sizes = {name: mine[0].size_bytes for name, mine in of_files.items()}
    reading = reading_of(configuration)

    def clips_of(name: str, path: str) -> list[Clip]:
        windows = [each.window for each in of_files[name]]
        samples = cut(path, reading, windows)
        return [Clip(each, encode(x)) for each, x in zip(of_files[name], samples, strict=True)]

    made: dict[SampleSegment, Clip] = {}
    found = from_recordings(root, sizes, clips_of)
    for name, clips in counted(found, "clips", len(sizes)):
        for number, each in enumerate(of_files[name]):
            if isinstance(clips, Unreadable):
                made[each] = Clip(each, missing=clips.reason)
            else:
                made[each] = clips[number]
    return [made[each] for each in segments]
