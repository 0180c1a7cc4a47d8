"""Data of the user's own: a folder for each label, or a manifest with a line for each recording.

A manifest is checked as a whole: every fault is found in one reading and reported with its line.
"""

import math
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from batch_ser.audio import MIXED
from batch_ser.errors import FileError, UsageError
from batch_ser.inputs import (
    TIMES,
    Columns,
    Row,
    channel_faults,
    parse_channel,
    parse_seconds,
    printable,
    read_rows,
    row_word,
    time_faults,
)
from train.data.annotators import ANNOTATOR, agreed
from train.data.labels import SHARED, in_order, known_name
from train.data.utterances import Extent, Utterance, extent, listed, recordings
from train.data.weights import WEIGHT, parse_weight, report_lacking, weight_faults

COLUMNS = Columns(
    needed=("file", "label"),
    known=(
        *("file", "label", "speaker", "sex", "language", *TIMES),
        *("channel", "split", ANNOTATOR, WEIGHT),
    ),
)
SIDES = {"train": "train", "test": "test"} | dict.fromkeys(
    ("valid", "validation", "val", "dev"), "valid"
)
SEXES = {"": "", "female": "female", "f": "female", "male": "male", "m": "male"}
MAX_CHANNELS = 128  # numbers are from 0 on
MAX_NUMBERS = 10  # line numbers in one fault
ROUNDING_S = 0.01  # ends are often rounded to hundredths
OWN = f"known labels are {', '.join(SHARED)}; labels of your own are named with --labels"
UNKNOWN_FOLDERS = "these sub-folders are no known labels; rename them or take them out"
Fault = tuple[int, str]  # the first line that it concerns, what is wrong
Segment = tuple[str, float | str, float | str, int | None]
Extents = dict[str, Extent | FileError]
UNKNOWN = Extent(math.inf, MAX_CHANNELS)


def read_folder(path: Path, own_labels: Collection[str] = ()) -> list[Utterance]:
    """The recordings of a folder whose sub-folders are labels; folders below these are free.

    Raises:
        UsageError: no recording in a sub-folder, or sub-folders that are no labels, all listed.
    """
    found = [(each, each.relative_to(path).parts) for each in recordings(path)]
    inside = [(each, parts[0]) for each, parts in found if len(parts) > 1]
    counts = Counter(folder for _, folder in inside)
    if not inside:
        raise UsageError(
            f"{path}: found {len(found)} recordings and none of them in a sub-folder; "
            "expected a sub-folder for each label, such as angry/ and neutral/"
        )
    labels = {folder: known_name(folder, own_labels) for folder in counts}
    unknown = [f"{folder}: {counts[folder]} recordings" for folder in counts if not labels[folder]]
    if unknown:
        raise listed(f"{path}: {UNKNOWN_FOLDERS}", unknown, OWN)
    if len(inside) < len(found):
        left = len(found) - len(inside)
        print(f"{path}: {left} recordings are in no sub-folder and are left out", file=sys.stderr)
    corpus = f"folder:{Path(os.path.abspath(path)).name}"
    return [
        Utterance(each, str(labels[folder]), "", "", "", corpus=corpus, root=path)
        for each, folder in inside
    ]


def read_manifest(path: Path, own_labels: Collection[str] = ()) -> list[Utterance]:
    """The utterances of a manifest of any format that `run` takes, in its order.

    Columns: `file`, from the manifest's folder on, and `label`; where known `speaker`, `sex`,
    `language`, `start_s` and `end_s` (a given segment), `channel`, `split` (train, valid or test),
    `annotator`, where several label the same segments, and `weight`.

    Raises:
        UsageError: no such file, a column is missing, or faulty lines, all listed.
    """
    word, rows = row_word(path), list(read_rows(path, COLUMNS))
    root = Path(os.path.abspath(path.parent))
    extents: Extents = {}
    split = any(row.values.get("split") for row in rows)
    faults = [(row.number, f"{word} {row.number}: {row.fault}") for row in rows if row.fault]
    rows = [row for row in rows if not row.fault]
    rows = agreed(path, rows, [_segment(row, root) for row in rows], own_labels)
    for row in rows:
        found = [*_faults(row, root, own_labels, extents), *(_split_faults(row) if split else ())]
        faults += [(row.number, f"{word} {row.number}: {fault}") for fault in found]
    faults += _repeated(rows, root, word)
    faults += _one_sided(rows, own_labels, word)
    if faults:
        hint = OWN if any(_unknown_label(row, own_labels) for row in rows) else ""
        messages = [message for _, message in sorted(faults, key=lambda fault: fault[0])]
        raise listed(f"{path}: fix these {word}s and run again", messages, hint)
    if not rows:
        raise UsageError(f"{path}: found no {word}s; expected one for each recording")
    report_lacking(path, rows, word)
    corpus = f"manifest:{path.stem}"
    return [_utterance(row, root, corpus, own_labels) for row in rows]


def _faults(row: Row, root: Path, own_labels: Collection[str], extents: Extents) -> Iterator[str]:
    """What is wrong with a line by itself, its split aside."""
    values = row.values
    found, fault = _extent(values["file"], root, extents)
    if fault:
        yield fault
    if not values["label"]:
        yield "the label is empty"
    elif _unknown_label(row, own_labels):
        yield f"the label {printable(values['label'])} is not known"
    if values.get("sex", "").lower() not in SEXES:
        yield f"the sex is {printable(values['sex'])}, expected female, male or nothing"
    yield from _segment_faults(values.get("start_s", ""), values.get("end_s", ""), found.length_s)
    yield from _channel_faults(printable(values.get("channel", "")), found.channels)
    yield from weight_faults(values.get(WEIGHT, ""))


def _unknown_label(row: Row, own_labels: Collection[str]) -> bool:
    label = row.values["label"]
    return bool(label) and not known_name(label, own_labels)


def _extent(name: str, root: Path, extents: Extents) -> tuple[Extent, str]:
    """The extent of the recording that a line names, and what is wrong."""
    if not name:
        return UNKNOWN, "the file is empty"
    shown = printable(name)
    if "://" in name:
        return UNKNOWN, f"{shown}: an address, expected a path"
    path = _path(name, root)
    if os.path.commonpath([path, root]) != str(root):
        return UNKNOWN, f"{shown} is outside the manifest's folder; move it or the manifest"
    if path not in extents:
        try:
            extents[path] = extent(Path(path))
        except FileError as error:
            extents[path] = error
    found = extents[path]
    return (UNKNOWN, f"{shown}: {found}") if isinstance(found, FileError) else (found, "")


def _path(name: str, root: Path) -> str:
    return os.path.abspath(root / name)


def _segment_faults(start: str, end: str, length: float) -> Iterator[str]:
    yield from time_faults(printable(start), printable(end))
    start_s, end_s = parse_seconds(start), parse_seconds(end)
    if start_s is None:
        return
    if end_s is None and not end and start_s >= length:
        yield f"starts at {start_s:g} s, the recording ends at {length:.2f} s"
    if end_s is not None and max(start_s, end_s) > length + ROUNDING_S:
        yield f"reaches {max(start_s, end_s):g} s, the recording ends at {length:.2f} s"


def _channel_faults(text: str, channels: int) -> Iterator[str]:
    yield from channel_faults(text)
    number = parse_channel(text)
    if number is not None and channels <= number < MAX_CHANNELS:
        yield f"the channel is {number}, the recording has {channels} (0 to {channels - 1})"


def _split_faults(row: Row) -> Iterator[str]:
    found = row.values.get("split", "")
    if found.lower() not in SIDES:
        yield f"the split is {printable(found) or 'empty'}, expected train, valid or test"


def _repeated(rows: Sequence[Row], root: Path, word: str) -> Iterator[Fault]:
    """Lines with the same recording, channel and segment as one before."""
    first: dict[Segment, int] = {}
    for row in rows:
        name, number = row.values["file"], row.number
        if not name:
            continue
        before = first.setdefault(_segment(row, root), number)
        if before != number:
            message = f"{printable(name)} is in {word} {before} too, with the same segment"
            yield number, f"{word} {number}: {message}"


def _segment(row: Row, root: Path) -> Segment:
    """Which recording it is, from when to when, on which channel."""
    start, end = (_moment(row.values.get(time, "")) for time in TIMES)
    return _path(row.values["file"], root), start, end, parse_channel(row.values.get("channel", ""))


def _moment(text: str) -> float | str:
    """Seconds, or the text if it is none: two faulty lines are not the same segment."""
    found = parse_seconds(text)
    return text if found is None else found


def _one_sided(rows: Sequence[Row], own_labels: Collection[str], word: str) -> Iterator[Fault]:
    """Labels that are only trained on, or only tested; valid is the test side if there is none."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        label = known_name(row.values["label"], own_labels)
        side = SIDES.get(row.values.get("split", "").lower())
        if label and side:
            numbers.setdefault((label, side), []).append(row.number)
    sides = {side for _, side in numbers}
    held = "test" if "test" in sides else "valid"
    if not {"train", held} <= sides:  # one side only: the other is elsewhere
        return
    for label in in_order(label for label, _ in numbers):
        for side, other in (("train", held), ("valid", "train"), ("test", "train")):
            found = numbers.get((label, side), [])
            if found and (label, other) not in numbers:
                message = f"the label {label} is in {side} and not in {other}; expected in both"
                yield found[0], f"{_numbers(found, word)}: {message}"


def _numbers(found: Sequence[int], word: str) -> str:
    """`line 4`, `lines 4 and 9`, or the first of many: `lines 4, 9 and 13 more`."""
    numbers = [str(number) for number in found]
    if len(numbers) == 1:
        return f"{word} {numbers[0]}"
    if len(numbers) > MAX_NUMBERS:
        numbers = [*numbers[:MAX_NUMBERS], f"{len(numbers) - MAX_NUMBERS} more"]
    return f"{word}s {', '.join(numbers[:-1])} and {numbers[-1]}"


def _utterance(row: Row, root: Path, corpus: str, own_labels: Collection[str]) -> Utterance:
    """A line without faults."""
    values = row.values
    channel = parse_channel(values.get("channel", ""))
    return Utterance(
        Path(_path(values["file"], root)),
        str(known_name(values["label"], own_labels)),
        values.get("speaker", ""),
        SEXES[values.get("sex", "").lower()],
        values.get("language", ""),
        corpus=corpus,
        start_s=parse_seconds(values.get("start_s", "")),
        end_s=parse_seconds(values.get("end_s", "")),
        channel=None if channel == MIXED else channel,
        side=SIDES.get(values.get("split", "").lower(), ""),
        root=root,
        weight=parse_weight(values.get(WEIGHT, "")) or 1.0,
    )
