"""One manifest in every format that a job takes."""

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Line = dict[str, Any]  # start_s and end_s are seconds, or None
Write = Callable[[Path, Sequence[Line]], Path]


def separated(name: str, separator: str, encoding: str = "utf-8") -> Write:
    def write(folder: Path, lines: Sequence[Line]) -> Path:
        with (folder / name).open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, list(lines[0]), delimiter=separator)
            writer.writeheader()
            writer.writerows(lines)
        return folder / name

    return write


def jsonl(folder: Path, lines: Sequence[Line]) -> Path:
    text = "\n\n".join(json.dumps(each) for each in lines)
    (folder / "list.jsonl").write_text(f"{text}\n")
    return folder / "list.jsonl"


def gzipped(folder: Path, lines: Sequence[Line]) -> Path:
    path = folder / "list.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(folder, lines).read_bytes()))
    (folder / "list.jsonl").unlink()
    return path


def parquet(folder: Path, lines: Sequence[Line]) -> Path:
    pd.DataFrame(lines).to_parquet(folder / "list.parquet")
    return folder / "list.parquet"


def metadata(folder: Path, lines: Sequence[Line]) -> Path:
    """What Hugging Face calls the metadata of an audio folder."""
    renamed = [{"file_name": each["file"], **each} for each in lines]
    for each in renamed:
        del each["file"]
    return jsonl(folder, renamed).rename(folder / "metadata.jsonl")


FORMATS: dict[str, Write] = {
    "comma": separated("list.csv", ","),
    "semicolon": separated("list.csv", ";"),
    "tab": separated("list.CSV", "\t"),
    "tsv": separated("list.tsv", "\t"),
    "byte order mark": separated("list.csv", ";", "utf-8-sig"),
    "jsonl": jsonl,
    "jsonl.gz": gzipped,
    "parquet": parquet,
    "metadata": metadata,
}


def _audformat_table(lines: Sequence[Line]) -> pd.DataFrame:
    table = pd.DataFrame(lines)
    for name in ("start", "end"):
        table.insert(1, name, pd.to_timedelta(table.pop(f"{name}_s"), unit="s"))
    first = ["file", "start", "end"]
    return table[first + [name for name in table.columns if name not in first]]


def audformat_csv(folder: Path, lines: Sequence[Line]) -> Path:
    _audformat_table(lines).to_csv(folder / "db.calls.csv", index=False)
    return folder / "db.calls.csv"


def audformat_parquet(folder: Path, lines: Sequence[Line]) -> Path:
    _audformat_table(lines).to_parquet(folder / "db.calls.parquet", index=False)
    return folder / "db.calls.parquet"


def lhotse_recording(line: Line, channels: int = 1) -> dict[str, Any]:
    numbers = list(range(channels))
    return {
        "id": line["file"].rpartition(".")[0],
        "sources": [{"type": "file", "channels": numbers, "source": line["file"]}],
        "sampling_rate": 16_000,
        "num_samples": 80_000,
        "duration": 5.0,
        "channel_ids": numbers,
    }


def lhotse_cut(line: Line, channels: int = 1) -> dict[str, Any]:
    """A cut with one supervision; columns that Lhotse has no field for are custom ones."""
    known = ("file", "start_s", "end_s", "channel")
    further = {name: value for name, value in line.items() if name not in known}
    supervision = {name: further.pop(name) for name in ("speaker", "text") if name in further}
    start_s = line["start_s"] or 0.0
    duration_s = (5.0 if line["end_s"] is None else line["end_s"]) - start_s
    name = f"{line['file']}-{start_s}"
    return {
        "id": name,
        "start": start_s,
        "duration": duration_s,
        "channel": line.get("channel") or 0,
        "supervisions": [
            {
                "id": name,
                "recording_id": line["file"],
                "start": 0.0,
                "duration": duration_s,
                "channel": 0,
                **supervision,
                "custom": further,
            }
        ],
        "recording": lhotse_recording(line, channels),
        "type": "MonoCut",
    }


def lhotse_recordings(folder: Path, lines: Sequence[Line]) -> Path:
    return jsonl(folder, [lhotse_recording(each) for each in lines])


def lhotse_cuts(folder: Path, lines: Sequence[Line]) -> Path:
    return gzipped(folder, [lhotse_cut(each) for each in lines])


WITH_SEGMENTS = FORMATS | {
    "audformat csv": audformat_csv,
    "audformat parquet": audformat_parquet,
    "lhotse cuts": lhotse_cuts,
}
