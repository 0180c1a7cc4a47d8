"""Where the results of a job are: the names of its tables and records, and what `run.json` states.

`--out results.parquet` ends as files beside each other; any other name is a folder with
`segments/`, `files/` and `run.json`. While a job runs, everything is in the working folder.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from batch_ser.addresses import scheme_of
from batch_ser.errors import MismatchError, UsageError
from batch_ser.results.json_files import read_json
from batch_ser.results.run_record import RunRecord, is_replacement, tables_of
from batch_ser.results.tables import EMBEDDINGS, SPEECH, TABLES, is_speech
from batch_ser.storage import STORES, Folder, is_store, open_folder, split_address

ALWAYS = TABLES[:2]  # the others depend on the settings of a job
CALLS, GROUPS = "calls", "groups"
# tables that are made from the others, with the endings of their files; the Parquet file of a name
# states what it was made of
DERIVED = ((CALLS, "parquet"), (CALLS, "csv"), (GROUPS, "parquet"))
OTHER_FORMATS = {".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".xls", ".xlsm", ".ods"}
OTHER_FORMATS |= {".arrow", ".feather", ".h5", ".db", ".sqlite", ".duckdb", ".gz", ".zip"}
DRIVER = "driver.json"  # in the working folder: the heartbeat of the driver that is at work
PARTS = re.compile(r"parts(-[0-9a-f]{8})?")  # folders of committed parts in the working folder


@dataclass(frozen=True)
class Output:
    """One output: its folder, and the names of its files in it."""

    out: str

    def __post_init__(self) -> None:
        suffix = PurePosixPath(self.out).suffix.lower()
        if suffix in OTHER_FORMATS:
            raise UsageError(
                f"--out {self.out}: found {suffix}, expected NAME.parquet or a folder; "
                "write Parquet and convert it, as with pandas.read_parquet(...).to_csv(...)"
            )
        if is_store(self.out):
            split_address(self.out)
            return
        if scheme := scheme_of(self.out):
            expected = ", ".join(f"{each}://" for each in STORES)
            raise UsageError(f"--out {scheme}://...: expected a path, or one of {expected}")
        if self.single_file and Path(self.out).is_dir():
            raise MismatchError(f"--out {self.out} is a folder; expected a file, or no .parquet")
        if not self.single_file and Path(self.out).is_file():
            raise MismatchError(f"--out {self.out} is a file; expected NAME.parquet, or a folder")

    @property
    def single_file(self) -> bool:
        return PurePosixPath(self.out).suffix == ".parquet"

    @cached_property
    def folder(self) -> Folder:
        """Where its files are: names in `run.json` start here."""
        if not self.single_file:
            return open_folder(self.out)
        if is_store(self.out):
            bucket, key = split_address(self.out)
            return open_folder(f"{bucket}/{key.rpartition('/')[0]}")
        return open_folder(Path(self.out).parent)

    @property
    def _stem(self) -> str:
        return PurePosixPath(self.out).stem

    def table(self, name: str) -> str:
        """The name of a table: of a file, or of a folder of files."""
        if not self.single_file:
            return name
        return f"{self._stem}.parquet" if name == "segments" else f"{self._stem}.{name}.parquet"

    def derived(self, name: str, ending: str = "parquet") -> str:
        """The file with a table of `DERIVED`; a folder of Parquet files holds no others."""
        if self.single_file:
            return f"{self._stem}.{name}.{ending}"
        return f"{name}/{name}.parquet" if ending == "parquet" else f"{name}.{ending}"

    @property
    def derived_files(self) -> tuple[str, ...]:
        """All files with tables that are made from the others."""
        return tuple(self.derived(*each) for each in DERIVED)

    @property
    def run_json(self) -> str:
        return f"{self._stem}.run.json" if self.single_file else "run.json"

    @property
    def work(self) -> str:
        return f"{self._stem}.work" if self.single_file else "work"

    @property
    def settings_json(self) -> str:
        return f"{self.work}/settings.json"

    @property
    def driver_json(self) -> str:
        """The heartbeat of the driver that is at work."""
        return f"{self.work}/{DRIVER}"

    @property
    def own_paths(self) -> tuple[str, ...]:
        """Absolute paths, or addresses, that a walk must not take for inputs."""
        names = [*map(self.table, TABLES), *self.derived_files, self.run_json, self.work]
        places = [self.folder.place(name) for name in names]
        if not self.single_file:
            places.append(self.out.rstrip("/"))
        return tuple(places if is_store(self.out) else map(os.path.realpath, places))

    @property
    def exists(self) -> bool:
        """Whether there is anything of an output, complete or not."""
        if self.folder.find(self.run_json):
            return True
        return next(self.folder.entries(self.work), None) is not None

    @property
    def as_scored(self) -> str:
        """The table that segments are read from again: that of embeddings, if there is one."""
        return EMBEDDINGS if self.listed(EMBEDDINGS, self.complete_record()) else "segments"

    def table_files(self, name: str) -> list[Path]:
        """Local Parquet files with a final table that `run.json` lists, in order; of those that
        exist.
        """
        found = []
        for each in self.listed(name, self.complete_record()):
            if self.folder.find(each):
                found.append(self.folder.local(each))
        return found

    def own_tables(self, content: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
        """Sizes and digests of the tables of this output that the content of a `run.json` names.

        Raises:
            MismatchError: it is not the content of a `run.json`.
        """
        own = {self.table(name) for name in TABLES}
        return {
            name: about
            for name, about in tables_of(content).items()
            if name in own or (not self.single_file and _folder_of(name) in own)
        }

    def listed(self, name: str, content: dict[str, Any] | None) -> list[str]:
        """The files of a table that a record names: another output may have a file of its name."""
        table, own = self.table(name), self.own_tables(content)
        return sorted(each for each in own if table in (each, _folder_of(each)))

    def any_record(self) -> dict[str, Any] | None:
        """The content of `run.json`, complete or not; None if it is damaged."""
        with contextlib.suppress(MismatchError):
            content = read_json(self.folder, self.run_json)
            tables_of(content)
            return content
        return None

    def complete_record(self) -> dict[str, Any] | None:
        """The content of `run.json`, or None while nothing is complete.

        Raises:
            MismatchError: the file is damaged.
        """
        content = read_json(self.folder, self.run_json)
        return None if content is None or is_replacement(content) else content

    def run_record(self) -> RunRecord | None:
        """The record in `run.json`, or None while nothing is complete.

        Raises:
            MismatchError: the file is damaged, no record, or that of an output of another name.
        """
        content = self.complete_record()
        if content is None:
            return None
        try:
            record = RunRecord.from_json(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MismatchError(f"{self._no_record} ({error!r}); --restart begins again") from error
        if record.tables and not self.own_tables(content):
            raise MismatchError(
                f"{self.folder.place(self.run_json)} lists {min(record.tables)}, expected "
                f"{self.table('segments')}: if the output was renamed, give all its files their "
                "earlier names again"
            )
        return record

    @property
    def _no_record(self) -> str:
        return f"{self.folder.place(self.run_json)} is not a record of batch-ser"

    def check_ours(self, tables: Sequence[str] = ALWAYS) -> None:
        """Refuse to overwrite what this program did not make.

        Raises:
            MismatchError: one of the `tables` to be written exists, and no record names it.
        """
        folder = self.folder
        ours = bool(folder.find(self.run_json) or folder.find(self.settings_json))
        listed = {name for name in TABLES if self.listed(name, self.any_record())}
        if self.has_own_speech():
            listed.add(SPEECH)
        unknown = [each for each in tables if not (ours if each in ALWAYS else each in listed)]
        present = [each for each in map(self.table, unknown) if self._is_there(each)]
        if ours and not present:
            return
        if not self.single_file:
            others = (each.name for each in folder.entries() if not self._in_work(each.name))
            present = [""] if next(others, None) else []
        if present:
            raise MismatchError(
                f"--out: {folder.place(present[0])} exists and is not an output of batch-ser; "
                "choose another name or move it away"
            )

    def has_own_speech(self) -> bool:
        """Whether there is a speech table, by its columns, where a damaged record lists no table.

        By its name it could be the segments table of another output.
        """
        content = self.any_record()
        if self.own_tables(content) or not self.folder.find(self.run_json):
            return False
        table = self.table(SPEECH)
        below = [each.name for each in self.folder.entries(table)]
        names = [table] if self.single_file and self._is_there(table) else below
        try:
            return bool(names) and all(is_speech(self.folder.local(each)) for each in names)
        except (pa.ArrowInvalid, OSError):
            return False

    def _is_there(self, table: str) -> bool:
        if self.single_file:
            return self.folder.find(table) is not None
        return next(self.folder.entries(table), None) is not None

    def _in_work(self, name: str) -> bool:
        return name.startswith(f"{self.work}/")

    def check_tables(self) -> None:
        """Check that the published tables are there, with their sizes.

        Raises:
            MismatchError: one is missing or has another size than in the record.
        """
        for name, expected in tables_of(self.complete_record()).items():
            found = self.folder.find(name)
            if found is None or found.size_bytes != expected["size_bytes"]:
                raise MismatchError(
                    f"{self.folder.place(name)} is missing or not the table that "
                    f"{self.run_json} describes; put it back, or give --restart to begin again"
                )

    def settings(self) -> tuple[dict[str, Any], str] | None:
        """The fingerprint of a job that is not complete, and its folder of parts.

        None while there is no such job, or once its parts are in the published tables.
        """
        content = read_json(self.folder, self.settings_json)
        if content is None:
            return None
        fingerprint, parts = content.get("fingerprint"), content.get("parts")
        if not isinstance(fingerprint, dict) or not PARTS.fullmatch(str(parts)):
            fingerprint, parts = content, "parts"  # of an earlier version
        record = self.complete_record()
        if record and record.get("parts") == parts:
            return None
        return fingerprint, f"{self.work}/{parts}"

    def earlier_fingerprint(self) -> dict[str, Any] | None:
        """The fingerprint of the output, complete or not; None if there is none."""
        content = self.complete_record()
        if content is None:
            settings = self.settings()
            return settings and settings[0]
        fingerprint = content.get("fingerprint")
        if not isinstance(fingerprint, dict):
            raise MismatchError(self._no_record)
        return fingerprint


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
