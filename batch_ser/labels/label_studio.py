"""JSON of Label Studio: its full export, and JSON-MIN.

A task is what `sample` wrote: `data` with file, channel, segment, times and weight. Sources:
https://labelstud.io/guide/task_format and label_studio_sdk/converter (`convert_to_json_min`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from batch_ser.errors import UsageError
from batch_ser.labels.reading import (
    MALFORMED,
    NO_ANSWER,
    OUT_OF_BOUNDS,
    OUTSIDE_S,
    Found,
    Label,
    Problem,
    checked,
    text_of,
)

PREFERRED = ("emotion", "label", "answer")  # names of choices, where there are several
CHOICES, REGIONS = "choices", "labels"  # types of results
DATA = ("audio", "file", "clip", "channel", "segment", "start_s", "end_s", "weight")
OF_ANNOTATIONS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
NOT_ANSWERS = frozenset((*DATA, *OF_ANNOTATIONS, "agreement"))  # keys of JSON-MIN
EXPECTED = "expected an export of Label Studio, JSON or JSON-MIN: a list of tasks"
SEVERAL = "several choices, expected one"
Object = dict[str, Any]


def read_label_studio(path: Path, annotator: str) -> Iterator[Found]:
    """The labels of all tasks and annotators.

    Raises:
        UsageError: it is no such export.
    """
    try:
        tasks = json.loads(text_of(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); {EXPECTED}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UsageError(f"{path}: found JSON of another kind; {EXPECTED}")
    _forget_usual_channels(tasks)
    for number, task in enumerate(tasks, 1):
        place = f"task {task['id']}" if isinstance(task.get("id"), int) else f"task {number}"
        full = isinstance(task.get("data"), dict)
        for found in _full(task, place, annotator) if full else _flat(task, place, annotator):
            yield checked(found) if isinstance(found, Label) else found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"found {name}, expected a number")


def _forget_usual_channels(tasks: Sequence[Object]) -> None:
    """Drop the channels of all regions where none has one but 0: that is what Label Studio states
    of a region unless the interface of the project splits channels.
    """
    values = [value for task in tasks for value in _regions_of(task)]
    if all(value.get("channel") in (0, None) for value in values):
        for value in values:
            value.pop("channel", None)


def _regions_of(task: Object) -> Iterator[Object]:
    """The regions of all annotators of a task, in either format."""
    for each in (each for value in task.values() if _marked(value) for each in value):
        yield each
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        results = annotation.get("result") if isinstance(annotation, dict) else None
        for each in results if isinstance(results, list) else ():
            if isinstance(each, dict) and isinstance(each.get("value"), dict):
                yield each["value"]


def _full(task: Object, place: str, annotator: str) -> Iterator[Found]:
    """Those of a task of the full export."""
    annotations = task.get("annotations")
    if not annotations:
        yield Problem(place, NO_ANSWER, "not annotated")
        return
    if not isinstance(annotations, list):
        yield Problem(place, MALFORMED, "annotations is no list")
        return
    for each in annotations:
        if not isinstance(each, dict):
            yield Problem(place, MALFORMED, "an annotation is no object")
        elif each.get("was_cancelled"):
            yield Problem(place, NO_ANSWER, "skipped")
        else:
            who = _annotator(each.get("completed_by"), annotator)
            yield from _results(task["data"], each.get("result"), place, who)


def _results(data: Object, results: Any, place: str, who: str) -> Iterator[Found]:
    """What one annotator chose for a task: a choice, or regions of a recording with labels."""
    own = [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []
    choices: dict[str, list[Any]] = {}
    for each in own:
        value = each.get("value")
        if each.get("type") == REGIONS and isinstance(value, dict):
            yield _region(data, value, place, who)
        elif each.get("type") == CHOICES and isinstance(value, dict):
            found = value.get(CHOICES)
            name = str(each.get("from_name"))
            choices.setdefault(name, []).extend(found if isinstance(found, list) else [found])
    if choices:
        yield _chosen(data, choices, place, who)
    elif not any(each.get("type") == REGIONS for each in own):
        yield Problem(place, NO_ANSWER, "no choice")


def _chosen(data: Object, choices: Mapping[str, list[Any]], place: str, who: str) -> Found:
    names = [name for name in PREFERRED if name in choices] or list(choices)
    chosen = choices[names[0]]
    if len(chosen) != 1 or (len(names) > 1 and names[0] not in PREFERRED):
        return Problem(place, MALFORMED if chosen else NO_ANSWER, SEVERAL if chosen else "none")
    return _label(data, chosen[0], place, who)


def _flat(task: Object, place: str, annotator: str) -> Iterator[Found]:
    """Those of a task of JSON-MIN, where the keys of data, of choices and of regions are side by
    side.
    """
    regions = [key for key, value in task.items() if key not in NOT_ANSWERS and _marked(value)]
    who = _annotator(task.get("annotator"), annotator)
    for value in (each for key in regions for each in task[key]):
        yield _region(task, value, place, who)
    rest = {key: value for key, value in task.items() if key not in regions}
    chosen = _flat_choice(rest, place, who)
    if not regions or isinstance(chosen, Label) or chosen.reason != NO_ANSWER:
        yield chosen


def _marked(value: Any) -> bool:
    """Whether a value of JSON-MIN is a list of regions."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and REGIONS in each for each in value)
    )


def _flat_choice(task: Object, place: str, who: str) -> Found:
    """What was chosen for a task of JSON-MIN."""
    named = [name for name in PREFERRED if name in task]
    names = named or [
        key for key, value in task.items() if key not in NOT_ANSWERS and isinstance(value, str)
    ]
    if "file" not in task and "audio" not in task:
        return Problem(place, MALFORMED, "neither data nor a file")
    value = task[names[0]] if names else None
    choice = value.get(CHOICES) if isinstance(value, dict) else value
    if not choice:
        return Problem(place, NO_ANSWER, "no choice")
    if len(names) > 1 and not named:
        message = f"several keys with texts ({len(names)}), expected emotion"
        return Problem(place, MALFORMED, message)
    if isinstance(choice, list):
        return Problem(place, MALFORMED, SEVERAL)
    return _label(task, choice, place, who)


def _annotator(value: Any, annotator: str) -> str:
    """Who it was: an address, or a number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return str(value) if isinstance(value, str | int) and value != "" else annotator


def _label(data: Object, choice: Any, place: str, who: str) -> Found:
    try:
        if not isinstance(choice, str):
            raise TypeError(f"a choice of type {type(choice).__name__}, expected text")
        return Label(
            place,
            choice,
            who,
            _value(data, "file", str) or "",
            _value(data, "audio", str) or "",
            channel=_value(data, "channel", int),
            segment=_value(data, "segment", int),
            start_s=_value(data, "start_s", float),
            end_s=_value(data, "end_s", float),
            weight=_value(data, "weight", float),
        )
    except (TypeError, OverflowError) as error:
        return Problem(place, MALFORMED, str(error))


def _region(data: Object, value: Object, place: str, who: str) -> Found:
    """A region that an annotator marked in the audio of a task; in a clip, which is one segment,
    it is about that segment, whichever part of it is marked.
    """
    labels = value.get(REGIONS)
    if not isinstance(labels, list) or len(labels) != 1:
        return Problem(place, MALFORMED, "a region with several labels or none, expected one")
    try:
        start_s, end_s = _value(data, "start_s", float) or 0.0, _value(data, "end_s", float)
        times = {name: _value(value, name, float) for name in ("start", "end")}
        if None in times.values():
            raise TypeError("a region without start or end")
    except (TypeError, OverflowError) as error:
        return Problem(place, MALFORMED, str(error))
    if data.get("segment") not in (None, "") and end_s is not None:
        return _in_clip(data, labels[0], times, end_s - start_s, place, who)
    moved = {f"{name}_s": start_s + (found or 0.0) for name, found in times.items()}
    channel = data.get("channel", value.get("channel"))
    own = data | moved | {"channel": channel, "segment": None}
    return _label(own, labels[0], place, who)


def _in_clip(
    data: Object, choice: Any, times: Mapping[str, float], length_s: float, place: str, who: str
) -> Found:
    """A region in a clip."""
    if not 0 <= times["start"] <= times["end"] <= length_s + OUTSIDE_S:
        start, end = times["start"], times["end"]
        message = f"a region from {start:g} to {end:g} s, of a clip of {length_s:.2f} s"
        return Problem(place, OUT_OF_BOUNDS, message)
    return _label(data, choice, place, who)


def _value(data: Object, name: str, kind: type) -> Any:
    """A value of a type; numbers may be texts, as in a project of an imported CSV.

    Raises:
        TypeError, OverflowError: it is of another type.
    """
    value = data.get(name)
    if value is None or value == "":
        return None
    found: object = value if kind is str and isinstance(value, str) else None
    if kind is not str and isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError):
            number = float(value)
            found = number if kind is float else int(number) if number.is_integer() else None
    if found is None:
        raise TypeError(f"the {name} is no {'text' if kind is str else 'number'}")
    return found
