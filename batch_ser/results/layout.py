"""Where the results of a job are: the paths of its tables and records, and what `run.json` states.

`--out results.parquet` ends as files beside each other; any other name is a folder with
`segments/`, `files/` and `run.json`. While a job runs, everything is in the working folder.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError, UsageError
from batch_ser.results.durable import read_json
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
    def parts(self) -> Path:
        """The committed parts."""
        return self.work / "parts"

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
        """The table that segments are read from again: that of embeddings, if there is one."""
        return EMBEDDINGS if self._listed(EMBEDDINGS, self.complete_record()) else "segments"

    def table_files(self, name: str) -> list[Path]:
        """The Parquet files of a final table that `run.json` lists and that exist, in order."""
        return [path for path in self._listed(name, self.complete_record()) if path.is_file()]

    def own_tables(self, content: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
        """Sizes and digests of the tables of this output that the content of a `run.json` names.

        Raises:
            MismatchError: it is not the content of a `run.json`.
        """
        places = [self.table(name) for name in TABLES]
        return {
            name: about
            for name, about in tables_of(content).items()
            if not {self.base / name, (self.base / name).parent}.isdisjoint(places)
        }

    def _listed(self, name: str, content: dict[str, Any] | None) -> list[Path]:
        """The files of a table that a record names: another output may have a file of its name."""
        table = self.table(name)
        paths = sorted(self.base / each for each in self.own_tables(content))
        return [path for path in paths if table in (path, path.parent)]

    def any_record(self) -> dict[str, Any] | None:
        """The content of `run.json`, complete or not; None if it is damaged."""
        with contextlib.suppress(MismatchError):
            content = read_json(self.run_json)
            tables_of(content)
            return content
        return None

    def complete_record(self) -> dict[str, Any] | None:
        """The content of `run.json`, or None while nothing is complete.

        Raises:
            MismatchError: the file is damaged.
        """
        content = read_json(self.run_json)
        return None if content is None or is_replacement(content) else content

    def run_record(self) -> RunRecord | None:
        """The record in `run.json`, or None while nothing is complete.

        Raises:
            MismatchError: the file is damaged, or no record.
        """
        content = self.complete_record()
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
        embeddings_ours = bool(self._listed(EMBEDDINGS, self.any_record()))
        unknown = [name for name in tables if not (embeddings_ours if name == EMBEDDINGS else ours)]
        present = [path for path in map(self.table, unknown) if path.is_file() or _has_files(path)]
        if ours and not present:
            return
        if not self.single_file and self.out.exists():
            present = [self.out] if set(self.out.iterdir()) - {self.work} else []
        if present:
            raise MismatchError(
                f"--out: {present[0]} exists and is not an output of batch-ser; "
                "choose another name or move it away"
            )

    def check_tables(self) -> None:
        """Check that the published tables are there, with their sizes.

        Raises:
            MismatchError: one is missing or has another size than in the record.
        """
        for name, expected in tables_of(self.complete_record()).items():
            path = self.base / name
            if not path.is_file() or path.stat().st_size != expected["size_bytes"]:
                raise MismatchError(
                    f"{path} is missing or not the table that {self.run_json} describes; "
                    "put it back, or give --restart to begin again"
                )

    def earlier_settings(self) -> dict[str, Any] | None:
        """The fingerprint of the output, complete or not; None if there is none."""
        content = self.complete_record()
        if content is None:
            return read_json(self.settings_json)
        fingerprint = content.get("fingerprint")
        if not isinstance(fingerprint, dict):
            raise MismatchError(f"{self.run_json} is not a record of batch-ser")
        return fingerprint


def _has_files(folder: Path) -> bool:
    return any(folder.glob("*"))


def tables_of(content: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Sizes and digests of the tables that the content of a `run.json` names.

    While tables are replaced, it names those of the earlier and of the new set.

    Raises:
        MismatchError: it is not the content of a `run.json`.
    """
    if content is None:
        return {}
    if isinstance(content, dict) and is_replacement(content):
        return tables_of(content.get("old")) | tables_of(content.get("new"))
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise MismatchError("run.json is not a record of batch-ser; --restart begins again")
    return tables


def is_replacement(content: dict[str, Any]) -> bool:
    """Whether the content of a `run.json` is that of tables that are being replaced."""
    return content.get("complete") is False
