"""Label files as annotators' programs write them, of a sample of an output's segments."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from call_tables import Rows

ROOM_S = 200.0  # length of the recordings


@dataclass(frozen=True)
class Task:
    """A segment that is to be labelled, as the table of a sample has it."""

    clip: str
    file: str
    channel: int
    segment: int
    start_s: float
    end_s: float
    label: str  # predicted
    confidence: float
    stratum: str
    weight: float
    second: int = 0

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


Answers = Mapping[Task, str]


def tasks(segments: Rows) -> list[Task]:
    """Every third segment of a table."""
    names = ("file", "channel", "segment", "start_s", "end_s")
    return [
        Task(
            f"clips/{number:04}.wav",
            *(row[name] for name in names),
            row["emotion"],
            row["confidence"],
            row["emotion"],
            3.0 + number % 2,
        )
        for number, row in enumerate(segments[::3])
    ]


def write_sample(folder: Path, chosen: Iterable[Task], answers: Answers | None = None) -> Path:
    """The table of a sample; with answers as an annotator fills it in."""
    folder.mkdir(exist_ok=True)
    rows = [asdict(task) | ({"answer": answers[task]} if answers else {}) for task in chosen]
    write_csv(folder / "sample.csv", rows)
    return folder / "sample.csv"


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def data_of(task: Task) -> dict[str, Any]:
    """The data of a task in Label Studio."""
    names = ("file", "channel", "segment", "start_s", "end_s", "weight")
    own = {name: getattr(task, name) for name in names}
    return {"audio": f"/data/local-files/?d={task.clip}"} | own


def choice(text: str) -> dict[str, Any]:
    value = {"choices": [text]}
    return {"from_name": "emotion", "to_name": "audio", "type": "choices", "value": value}


def annotation(text: str, who: Any, **further: Any) -> dict[str, Any]:
    own = {"id": 7, "completed_by": who, "was_cancelled": False, "result": [choice(text)]}
    return own | further


def label_studio(folder: Path, answers: Answers, who: Any = "anna@example.com") -> list[Path]:
    """The full export."""
    found = [
        {
            "id": 100 + number,
            "data": data_of(task),
            "annotations": [annotation(text, {"email": who})],
        }
        for number, (task, text) in enumerate(answers.items())
    ]
    return [_json(folder / "project-1-at-2026.json", found)]


def json_min(folder: Path, answers: Answers) -> list[Path]:
    further = {"annotator": 1, "annotation_id": 7, "lead_time": 2.5, "created_at": "2026-11-29"}
    found = [data_of(task) | {"id": 1, "emotion": text} | further for task, text in answers.items()]
    return [_json(folder / "min.json", found)]


def _json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def audacity_clips(folder: Path, answers: Answers) -> list[Path]:
    """A track for each clip, with a line of frequencies as Audacity may add."""
    paths = []
    for task, text in answers.items():
        paths.append(folder / f"{Path(task.clip).stem}.txt")
        end = f"{task.length_s:.6f}"
        paths[-1].write_text(f"0.000000\t{end}\t{text}\n\\\t-1.000000\t4000.000000\n")
    return paths


def audacity_recordings(folder: Path, answers: Answers) -> list[Path]:
    """A track for each channel of each recording."""
    lines: dict[str, list[str]] = {}
    for task, text in answers.items():
        name = f"{Path(task.file).stem}.ch{task.channel}.txt"
        lines.setdefault(name, []).append(f"{task.start_s:.6f}\t{task.end_s:.6f}\t{text}\n")
    for name, own in lines.items():
        (folder / name).write_text("".join(own), encoding="utf-8")
    return [folder / name for name in lines]


def filled_table(folder: Path, answers: Answers) -> list[Path]:
    """The table of the sample with the column that is filled in."""
    return [write_sample(folder, answers, answers)]


def other_table(folder: Path, answers: Answers) -> list[Path]:
    """A table of any program, with semicolons."""
    path = folder / "mine.csv"
    lines = [f"{t.file};{t.channel};{t.start_s};{t.end_s};{text}" for t, text in answers.items()]
    path.write_text("\n".join(["file;channel;start_s;end_s;emotion", *lines]) + "\n")
    return [path]


def audformat(folder: Path, answers: Answers) -> list[Path]:
    """A table with segments, of one channel."""
    path = folder / "db.emotion.csv"
    lines = [
        f"{task.file},0 days 00:0{int(task.start_s // 60)}:{task.start_s % 60:09.6f},"
        f"0 days 00:0{int(task.end_s // 60)}:{task.end_s % 60:09.6f},{text}"
        for task, text in answers.items()
    ]
    path.write_text("\n".join(["file,start,end,emotion", *lines]) + "\n")
    return [path]


def audformat_of_clips(folder: Path, answers: Answers) -> list[Path]:
    """The table that `sample` writes for audformat, with what the model predicted beside."""
    path = folder / "db.segments.csv"
    lines = [
        f"{task.clip},0 days 00:00:00,0 days 00:00:{task.length_s:012.9f},"
        f"{task.label},{task.confidence},{task.weight},{text}"
        for task, text in answers.items()
    ]
    header = "file,start,end,emotion,confidence,weight,answer"
    path.write_text("\n".join([header, *lines]) + "\n")
    return [path]


def textgrids(
    folder: Path, answers: Answers, *, short: bool = False, encoding: str = "utf-8"
) -> list[Path]:
    """A TextGrid for each recording, with a tier for each channel, silence between."""
    by_file: dict[str, dict[int, list[tuple[float, float, str]]]] = {}
    for task, text in answers.items():
        tiers = by_file.setdefault(task.file, {})
        tiers.setdefault(task.channel, []).append((task.start_s, task.end_s, text))
    paths = []
    for file, tiers in by_file.items():
        paths.append(folder / f"{Path(file).stem}.TextGrid")
        own = {f"channel {each}": _filled(intervals) for each, intervals in tiers.items()}
        paths[-1].write_text(textgrid(own, short=short), encoding=encoding)
    return paths


def _filled(intervals: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """As in Praat: time without a text is an interval, too."""
    found, at = [], 0.0
    for start, end, text in sorted(intervals):
        found += [(at, start, ""), (start, end, text)]
        at = end
    return [*found, (at, ROOM_S, "")]


def textgrid(tiers: Mapping[str, Sequence[tuple[float, float, str]]], *, short: bool) -> str:
    """The text of a TextGrid in one of both formats."""

    def line(name: str, value: object) -> str:
        return f"{value}\n" if short else f"    {name} = {value} \n"

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    text = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    text += line("xmin", 0) + line("xmax", ROOM_S) + ("" if short else "tiers? ") + "<exists>\n"
    text += line("size", len(tiers))
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        text += "" if short else f"    item [{number}]:\n"
        text += line("class", '"IntervalTier"') + line("name", quoted(name))
        text += line("xmin", 0) + line("xmax", ROOM_S) + line("intervals: size", len(intervals))
        for place, (start, end, own) in enumerate(intervals, 1):
            text += "" if short else f"        intervals [{place}]:\n"
            text += line("xmin", start) + line("xmax", end) + line("text", quoted(own))
    return text


def short_textgrids(folder: Path, answers: Answers) -> list[Path]:
    return textgrids(folder, answers, short=True, encoding="utf-16")


WRITERS: tuple[Callable[[Path, Answers], list[Path]], ...] = (
    label_studio,
    json_min,
    audacity_clips,
    audacity_recordings,
    filled_table,
    other_table,
    audformat,
    audformat_of_clips,
    textgrids,
    short_textgrids,
)
