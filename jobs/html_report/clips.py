"""Clips of some segments: each recording is found below a root, and decoded once."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from batch_ser.audio import RawSettings, Reading
from batch_ser.errors import FileError, Incomplete, Reason
from batch_ser.inputs import BelowRoot, InputFile
from batch_ser.report import MOST_CLIP_S, cut, encode
from jobs.figures import one_line
from jobs.html_report.call_details import SampleSegment
from jobs.worker import Fetching
from train.progress import counted

NO_ROOT = "the report was made without --audio"


@dataclass(frozen=True)
class Clip:
    """A clip as MP3, or why there is none."""

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
        return [Clip(each, missing=NO_ROOT) for each in segments]
    of_files: dict[str, list[SampleSegment]] = {}
    for each in sorted(segments, key=lambda each: each.file):
        of_files.setdefault(each.file, []).append(each)
    found = {name: _found(root, name, mine[0]) for name, mine in of_files.items()}
    good = [file for file in found.values() if file.error is None]
    numbers = {file.file: number for number, file in enumerate(good)}
    fetching, reading = Fetching(good), _reading(configuration)
    made: dict[SampleSegment, Clip] = {}
    for name in counted(of_files, "clips", len(of_files)):
        with ExitStack() as stack:
            try:
                if error := found[name].error:
                    raise error
                file = stack.enter_context(fetching.local(numbers[name]))
                clips = _of_file(file.path, of_files[name], reading)
            except Incomplete:
                raise
            except Exception as error:  # a fault of one recording keeps no report from being made
                clips = [Clip(each, missing=_reason(error)) for each in of_files[name]]
        made |= {clip.segment: clip for clip in clips}
    return [made[each] for each in segments]


def _found(root: BelowRoot, name: str, segment: SampleSegment) -> InputFile:
    """The recording, unless it is not the one that was scored."""
    file = root.find(name)
    if file.error or file.size_bytes == segment.size_bytes:
        return file
    what = "its archive" if file.member else "it"
    error = FileError(
        Reason.FETCH_FAILED,
        f"another file than the one that was scored: {what} has {file.size_bytes:,} bytes, and had "
        f"{segment.size_bytes:,}",
    )
    return replace(file, error=error)


def _of_file(path: str, segments: Sequence[SampleSegment], reading: Reading) -> list[Clip]:
    samples = cut(path, reading, [each.window for each in segments])
    return [Clip(each, encode(mine)) for each, mine in zip(segments, samples, strict=True)]


def _reason(error: Exception) -> str:
    if isinstance(error, FileError):
        return one_line(f"{error.reason}: {error}")
    return one_line(f"{Reason.INTERNAL_ERROR}: {error!r}")


def _reading(configuration: Mapping[str, Any]) -> Reading:
    """How the run read its recordings: headerless ones need its options."""
    try:
        options = dict(configuration.get("reading", {}))
        return Reading(RawSettings(**options.pop("raw", {})), **options)
    except (AttributeError, TypeError, ValueError):  # of another version
        return Reading()
