"""Where a job's results are stored, and how finished tables are published.

`--out results.parquet` ends as three files; any other name is a folder with `segments/`, `files/`
and `run.json`. `run.json` is written last and means "complete". While a job runs, everything is in
the working folder; publishing moves whole files, and goes on after a crash.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError, UsageError
from batch_ser.results.run_record import RunRecord

EMBEDDINGS = "embeddings"  # of segments, where results are or were adapted
TABLES = ("segments", "files", EMBEDDINGS)
OTHER_FORMATS = {".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".xls", ".xlsm", ".ods"}
OTHER_FORMATS |= {".arrow", ".feather", ".h5", ".db", ".sqlite", ".duckdb", ".gz", ".zip"}
DRIVER = "driver.json"  # in the working folder: the driver that is at work


@dataclass(frozen=True)
class Output:
    """The paths of one output."""

    out: Path

    def __post_init__(self) -> None:
        scheme = re.match(r"(\w+):/", str(self.out))  # a Path folds the second slash
        if scheme:
            raise UsageError(f"--out {scheme[1]}://...: this version writes local files only")
        if self.out.suffix.lower() in OTHER_FORMATS:
            raise UsageError(
                f"--out {self.out}: found {self.out.suffix}, expected NAME.parquet or a folder; "
                "write Parquet and convert it, as with pandas.read_parquet(...).to_csv(...)"
            )
        if self.single_file and self.out.is_dir():
            raise MismatchError(f"--out {self.out} is a folder; expected a file, or no .parquet")
        if not self.single_file and self.out.is_file():
            raise MismatchError(f"--out {self.out} is a file; expected NAME.parquet, or a folder")

    @property
    def single_file(self) -> bool:
        return self.out.suffix == ".parquet"

    def _sibling(self, ending: str) -> Path:
        return self.out.with_name(self.out.stem + ending)

    def table(self, name: str) -> Path:
        """The final path of a table: a file, or a folder of files."""
        if not self.single_file:
            return self.out / name
        return self.out if name == "segments" else self._sibling(f".{name}.parquet")

    @property
    def run_json(self) -> Path:
        return self._sibling(".run.json") if self.single_file else self.out / "run.json"

    @property
    def work(self) -> Path:
        return self._sibling(".work") if self.single_file else self.out / "work"

    @property
    def base(self) -> Path:
        """The folder that the names of tables in the record start from."""
        return self.out.parent if self.single_file else self.out

    @property
    def final(self) -> Path:
        """Where new tables are made before they are published."""
        return self.work / "final"

    @property
    def settings_json(self) -> Path:
        return self.work / "settings.json"

    @property
    def own_paths(self) -> tuple[str, ...]:
        """Absolute paths that a walk must not take for inputs."""
        paths = [*map(self.table, TABLES), self.run_json, self.work]
        if not self.single_file:
            paths.append(self.out)
        return tuple(os.path.realpath(path) for path in paths)

    @property
    def as_scored(self) -> str:
        """The table that segments are read from again: that of embeddings, if there is one.

        By the record: another output may have the name that this table would have.
        """
        path = self.table(EMBEDDINGS)
        for name in (read_json(self.run_json) or {}).get("tables", {}):
            if path in (self.base / name, (self.base / name).parent):
                return EMBEDDINGS
        return "segments"

    def table_files(self, name: str) -> list[Path]:
        """The Parquet files of a final table, in order; none while there is no such table."""
        path = self.table(name)
        return [path] if path.is_file() else sorted(path.glob("*.parquet"))

    def run_record(self) -> RunRecord | None:
        """The record in `run.json`, or None while nothing is complete.

        Raises:
            MismatchError: the file is damaged, or no record.
        """
        content = read_json(self.run_json)
        if content is None:
            return None
        try:
            return RunRecord.from_json(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MismatchError(
                f"{self.run_json} is not a record of batch-ser ({error!r}); --restart begins again"
            ) from error

    def check_ours(self, tables: Sequence[str] = TABLES[:2]) -> None:
        """Refuse to overwrite what this program did not make.

        Raises:
            MismatchError: one of the `tables` to be written exists, and no record names it.
        """
        ours = self.run_json.exists() or self.settings_json.exists()
        published = self.as_scored == EMBEDDINGS or (self.final / "run.json").exists()
        unknown = [name for name in tables if not (published if name == EMBEDDINGS else ours)]
        present = [path for path in map(self.table, unknown) if path.exists()]
        if ours and not present:
            return
        if not self.single_file and self.out.exists() and any(self.out.iterdir()):
            present = [self.out]
        if present:
            raise MismatchError(
                f"--out: {present[0]} exists and is not an output of batch-ser; "
                "choose another name or move it away"
            )

    def publish(self) -> None:
        """Move finished tables to their final paths, the record last; remove the working folder.

        Does nothing unless `final/run.json` exists, which is written when all of them are complete;
        after a crash the next call goes on where it stopped.
        """
        if not (self.final / "run.json").exists():
            return
        for name in TABLES:
            made = self.final / (f"{name}.parquet" if self.single_file else name)
            if made.is_dir() and self.table(name).exists():
                self.table(name).rename(self._aside(name))
            if made.exists():
                made.replace(self.table(name))
        (self.final / "run.json").replace(self.run_json)
        for path in self.work.glob("*"):
            if path.name != DRIVER:
                _remove(path)
        with contextlib.suppress(OSError):
            self.work.rmdir()  # else its driver removes it at its end

    def _aside(self, name: str) -> Path:
        number = len(list(self.work.glob(f"old-{name}-*")))
        return self.work / f"old-{name}-{number}"

    def check_tables(self) -> None:
        """Check that the published tables are there, with their sizes.

        Raises:
            MismatchError: one is missing or has another size than in the record.
        """
        record = read_json(self.run_json) or {}
        for name, expected in record.get("tables", {}).items():
            path = self.base / name
            if not path.is_file() or path.stat().st_size != expected["size_bytes"]:
                raise MismatchError(
                    f"{path} is missing or not the table that {self.run_json} describes; "
                    "put it back, or give --restart to begin again"
                )

    def earlier_settings(self) -> dict[str, Any] | None:
        """The fingerprint of the output, complete or not; None if there is none."""
        content = read_json(self.run_json)
        if content is None:
            return read_json(self.settings_json)
        fingerprint = content.get("fingerprint")
        if not isinstance(fingerprint, dict):
            raise MismatchError(f"{self.run_json} is not a record of batch-ser")
        return fingerprint

    def remove(self, keep: Path) -> None:
        """Delete the output (`--restart`) but the file `keep`; the record last."""
        tables = {"segments", "files", self.as_scored}
        for path in [*self.work.glob("*"), *map(self.table, tables)]:
            if path != keep:
                _remove(path)
        self.run_json.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is no such file.

    Raises:
        MismatchError: the file is no JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise MismatchError(f"{path} is damaged ({error}); --restart begins again") from error
    if not isinstance(content, dict):
        raise MismatchError(f"{path} is not a record of batch-ser")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one go: under another name first, then renamed."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    partial.replace(path)


def describe_files(paths: list[Path], below: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, by their names below a folder."""
    described = {}
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        described[str(path.relative_to(below))] = {
            "size_bytes": path.stat().st_size,
            "sha256": digest,
        }
    return described
