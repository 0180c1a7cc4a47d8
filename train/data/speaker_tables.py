"""Speakers' sexes, where a corpus states them in a table and not in its file names."""

import csv
from pathlib import Path

from batch_ser.errors import UsageError


def crema_d_sexes(folder: Path) -> dict[str, str]:
    """Speakers to sexes by the corpus' VideoDemographics.csv, where it lies in or above a folder.

    Raises:
        UsageError: a table of that name without the corpus' columns.
    """
    return _sexes(folder / "VideoDemographics.csv", "crema-d", "ActorID", "Sex", ",")


def nemo_sexes(folder: Path) -> dict[str, str]:
    """Speakers to sexes by the corpus' data.tsv, where it lies in or above a folder.

    Raises:
        UsageError: a table of that name without the corpus' columns.
    """
    return _sexes(folder / "data.tsv", "nemo", "speaker_id", "gender", "\t")


def _sexes(path: Path, corpus: str, speaker: str, sex: str, delimiter: str) -> dict[str, str]:
    """Speakers to sexes by two columns of a table, there or a folder above; empty without it."""
    for table in (path, path.parent.parent / path.name):
        if table.is_file():
            with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
                rows = list(csv.DictReader(file, delimiter=delimiter))
            if not rows or not {speaker, sex} <= rows[0].keys():
                raise UsageError(
                    f"{table}: expected the table of {corpus} with columns {speaker} and {sex}"
                )
            pairs = ((row[speaker] or "", row[sex] or "") for row in rows)
            sexes = {f"{corpus}-{a.strip().lower()}": b.strip().lower() for a, b in pairs}
            return {each: value for each, value in sexes.items() if value in ("male", "female")}
    return {}
