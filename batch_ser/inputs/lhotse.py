"""Manifests of Lhotse: recordings, and cuts, which give segments.

Of a recording the columns are `file` and `recording_id`; of a cut also `start_s`, `end_s`,
`channel`, `segment_id`, and what its supervision states, where there is one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from batch_ser.inputs.raw_rows import RawRow

CUTS = ("MonoCut", "MultiCut")
OTHER_CUTS = ("MixedCut", "PaddingCut")
SOURCES = ("file", "url")
SUPERVISION = ("speaker", "text", "language", "gender")
MAX_S = 1e12  # so that no sum is infinite
DIGITS = 8  # to which Lhotse rounds times

Object = Mapping[str, object]


class _Source(NamedTuple):
    """A file of a recording, and the numbers that its channels have in the recording."""

    file: str
    channels: tuple[int, ...]


def is_recording(values: Object) -> bool:
    """Whether a line is a recording of Lhotse."""
    return "sources" in values and "sampling_rate" in values and "file" not in values


def is_cut(values: Object) -> bool:
    """Whether a line is a cut of Lhotse."""
    layouts = {"start", "duration", "recording"}, {"duration", "supervisions"}, {"tracks", "type"}
    return "file" not in values and any(each <= values.keys() for each in layouts)


def recording_rows(row: RawRow) -> Iterator[RawRow]:
    """A row for each file of a recording; most have one."""
    try:
        for source in _sources(row.values):
            values = {"file": source.file, "recording_id": row.values.get("id")}
            yield RawRow(row.number, values)
    except ValueError as error:
        yield RawRow(row.number, {}, str(error))


def cut_rows(row: RawRow) -> Iterator[RawRow]:
    """A row for each channel of a cut; one row where they are all channels of a file."""
    try:
        yield from [RawRow(row.number, values) for values in _cut(row.values)]
    except ValueError as error:
        yield RawRow(row.number, {}, str(error))


def _cut(cut: Object) -> Iterator[dict[str, object]]:
    kind = cut.get("type")
    if kind in OTHER_CUTS:
        raise ValueError(f"a cut of the type {kind}, expected {' or '.join(CUTS)}")
    start_s, duration_s = _number(cut, "start"), _number(cut, "duration")
    recording = _object(cut, "recording")
    further = _supervision(cut)
    wanted = _channels(cut.get("channel", 0), "channel")
    sources = _sources(recording)
    if missing := set(wanted).difference(*(each.channels for each in sources)):
        raise ValueError(f"the recording has no channel {min(missing)}")
    for source in sources:
        places: list[object] = [source.channels.index(n) for n in wanted if n in source.channels]
        if len(places) == len(source.channels):
            places = [""]
        for channel in places:
            yield {
                "file": source.file,
                "start_s": start_s,
                "end_s": round(start_s + duration_s, DIGITS),
                "channel": channel,
                "segment_id": cut.get("id"),
                "recording_id": recording.get("id"),
                **further,
            }


def _supervision(cut: Object) -> dict[str, object]:
    """What the one supervision of a cut states; of several it is not known which counts."""
    found = cut.get("supervisions") or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("supervisions are no list of objects")
    if len(found) != 1:
        return {}
    custom = found[0].get("custom") or {}
    if not isinstance(custom, dict):
        raise ValueError("the custom field of the supervision is no object")
    own = {"file", "start_s", "end_s", "channel", "roles", "segment_id", "recording_id"}
    scalars = {
        name: value
        for name, value in custom.items()
        if isinstance(value, str | int | float) and name not in own
    }
    return {name: found[0][name] for name in SUPERVISION if name in found[0]} | scalars


def _sources(recording: Object) -> list[_Source]:
    """The files of a recording.

    Raises:
        ValueError: it is no recording that lies in files as it is.
    """
    if recording.get("transforms"):
        raise ValueError("a recording that Lhotse transforms as it is read; store it transformed")
    sources = recording.get("sources")
    if not isinstance(sources, list) or not sources:
        raise ValueError("found no sources; expected a recording of Lhotse with a list of them")
    return [_source(each) for each in sources]


def _source(source: object) -> _Source:
    if not isinstance(source, dict):
        raise ValueError("a source is no object")
    kind, file = source.get("type"), source.get("source")
    if kind not in SOURCES:
        shown = str(kind)[:20]
        raise ValueError(f"a source of the type {shown}, expected {' or '.join(SOURCES)}")
    if not isinstance(file, str) or not file.strip():
        raise ValueError("a source names no file")
    return _Source(file, _channels(source.get("channels", 0), "channels"))


def _channels(found: object, name: str) -> tuple[int, ...]:
    numbers: Sequence[object] = found if isinstance(found, list) else [found]
    if not numbers or not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError(f"{name} is no channel number and no list of them")
    return tuple(each for each in dict.fromkeys(numbers) if isinstance(each, int))


def _number(values: Object, name: str) -> float:
    found = values.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{name} is no number of seconds")
    if not abs(found) < math.inf or abs(found) > MAX_S:
        raise ValueError(f"{name} is {str(found)[:20]}, which is no number of seconds")
    return float(found)


def _object(values: Object, name: str) -> Object:
    found = values.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"found no {name}; expected one, as Lhotse writes it for cuts with audio")
    return found
