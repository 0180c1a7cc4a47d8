"""Where a job's results lie, and how finished tables take their places.

`--out results.parquet` ends as three files; any other name is a folder with `segments/`, `files/`
and `run.json`. `run.json` is written last and means "complete". While a job runs, everything is in
the working folder; publishing moves whole files and can be taken up again after a crash.
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

EMBEDDINGS = "embeddings"  # segments as they were scored, where results are or were adapted
TABLES = ("segments", "files", EMBEDDINGS)
DRIVER = "driver.json"  # in the working folder: who holds the output


@dataclass(frozen=True)
class Output:
    """The places of one output."""

    out: Path

    def __post_init__(self) -> None:
        scheme = re.match(r"(\w+):/", str(self.out))  # a Path folds the second slash
        if scheme:
            raise UsageError(f"--out {scheme[1]}://...: this version writes local files only")
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
        """The final place of a table: a file, or a folder of parts."""
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
    def final(self) -> Path:
        """Where new tables are made before they are published."""
        return self.work / "final"

    @property
    def settings_json(self) -> Path:
        return self.work / "settings.json"

    @property
    def own_paths(self) -> tuple[str, ...]:
        """Absolute paths that a walk must not take for inputs."""
        places = [*map(self.table, TABLES), self.run_json, self.work]
        if not self.single_file:
            places.append(self.out)
        return tuple(os.path.realpath(place) for place in places)

    @property
    def as_scored(self) -> str:
        """The table that holds segments as they were scored, before any adaptation.

        By the record: another output may have the name that a table of ours would have.
        """
        below = self.out.parent if self.single_file else self.out
        place = self.table(EMBEDDINGS)
        for name in (self.run_record() or {}).get("tables", {}):
            if place in (below / name, (below / name).parent):
                return EMBEDDINGS
        return "segments"

    def table_files(self, name: str) -> list[Path]:
        """The Parquet files of a final table, in order; none while there is no such table."""
        place = self.table(name)
        return [place] if place.is_file() else sorted(place.glob("*.parquet"))

    def run_record(self) -> dict[str, Any] | None:
        """What `run.json` says, or None while nothing is complete."""
        return read_json(self.run_json)

    def check_ours(self, tables: Sequence[str] = TABLES[:2]) -> None:
        """Refuse to write over what this program did not make.

        Raises:
            MismatchError: one of the `tables` to be written exists without a record of ours.
        """
        ours = self.run_json.exists() or self.settings_json.exists()
        published = self.as_scored == EMBEDDINGS or (self.final / "run.json").exists()
        unknown = [name for name in tables if not (published if name == EMBEDDINGS else ours)]
        present = [place for place in map(self.table, unknown) if place.exists()]
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
        """Move finished tables to their places, the record last, and remove the working folder.

        Does nothing unless `final/run.json` says that all of them are whole; after a crash the
        next call goes on where it stopped.
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
        for place in self.work.glob("*"):
            if place.name != DRIVER:
                _remove(place)
        with contextlib.suppress(OSError):
            self.work.rmdir()  # a driver that holds it does so in the end

    def _aside(self, name: str) -> Path:
        number = len(list(self.work.glob(f"old-{name}-*")))
        return self.work / f"old-{name}-{number}"

    def check_tables(self) -> None:
        """Make sure that the published tables are there, whole by their sizes.

        Raises:
            MismatchError: one is missing or has another size than its record says.
        """
        record = self.run_record() or {}
        below = self.out.parent if self.single_file else self.out
        for name, about in record.get("tables", {}).items():
            place = below / name
            if not place.is_file() or place.stat().st_size != about["size_bytes"]:
                raise MismatchError(
                    f"{place} is missing or not the table that {self.run_json} describes; "
                    "put it back, or give --restart to begin again"
                )

    def earlier_settings(self) -> dict[str, Any] | None:
        """The fingerprint of what lies here, complete or not; None if nothing does."""
        record = self.run_record()
        if record is None:
            return read_json(self.settings_json)
        if not isinstance(record.get("fingerprint"), dict):
            raise MismatchError(f"{self.run_json} is not a record of batch-ser")
        fingerprint: dict[str, Any] = record["fingerprint"]
        return fingerprint

    def remove(self, keep: Path) -> None:
        """Delete an output of ours (`--restart`), but the driver's own file; the record last."""
        tables = {"segments", "files", self.as_scored}
        places = [*self.work.glob("*"), *map(self.table, tables)]
        for place in places:
            if place != keep:
                _remove(place)
        self.run_json.unlink(missing_ok=True)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


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
    """Write a JSON file whole: made beside its place, then moved there."""
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
